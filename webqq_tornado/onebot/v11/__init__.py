"""OneBot 11: segments, CQ codes, events, actions, quick operations, tokens.

Reading order: `values` (lenient reading), `segments` and `cqcode` (messages on the wire),
`content` (messages as the rest of the package has them), `events`, `actions`, `quick`, `tokens`.

A fact's source is named beside it by these marks: OB botuniverse/onebot-11 (the standard, 2022);
GC Mrs4s/go-cqhttp (2024); NC NapNeko/NapCatQQ (2026); LG Lagrange.OneBot (2025); LL
LLOneBot/LuckyLilliaBot (2025); OS lc-cn/onebots (2026); NB nonebot/adapter-onebot (2026); AQ
nonebot/aiocqhttp (2023); KO koishi-plugin-adapter-onebot (2026); ZB ZeroBot (2026).
"""
