/**
 * Dialogs for a friend, a room and the user's profile; and the requests above the list.
 * A dialog is filled when it opens; saving sends only the changes.
 */

import { arrange, candidateRow, drawAvatar, fromTemplate } from "./conversations.js";

/** The heading of friends without another one. */
const DEFAULT_HEADING = "My friends";

/** Fields of a form that differ from their former values: {name: value}. */
function changesOf(form, before) {
  const entries = Object.keys(before).map((name) => [name, form.elements[name].value.trim()]);
  return Object.fromEntries(entries.filter(([name, value]) => value !== String(before[name])));
}

const fill = (form, values) =>
  Object.entries(values).forEach(([name, value]) => (form.elements[name].value = value));

/** A friend's mark and heading. */
export class FriendDialog {
  #api;
  #before;
  #friend;
  #form;

  constructor(form, api, onRemoved) {
    this.#form = form;
    this.#api = api;
    form.querySelector(".remove").addEventListener("click", async () => {
      if (!confirm(`Remove ${this.#friend.name} from your friends?`)) return;
      await api.changeFriend(this.#friend.number, { remove: true });
      form.closest("dialog").close();
      onRemoved();
    });
  }

  open(friend, headings) {
    this.#friend = friend;
    this.#form.querySelector("h2").textContent = friend.nick;
    this.#form.querySelector(".lnick").textContent = friend.lnick || `QQ ${friend.number}`;
    const all = [{ number: 0, name: DEFAULT_HEADING }, ...headings];
    const options = all.map(({ number, name }) => new Option(name, number));
    this.#form.elements.category.replaceChildren(...options);
    this.#before = { mark: friend.mark, category: friend.category };
    fill(this.#form, { ...this.#before, heading: "" });
  }

  async save() {
    const { category, ...changes } = changesOf(this.#form, this.#before);
    const heading = this.#form.elements.heading.value.trim();
    if (heading) changes.category = (await this.#api.addHeading(heading)).number;
    else if (category !== undefined) changes.category = Number(category);
    if (Object.keys(changes).length) await this.#api.changeFriend(this.#friend.number, changes);
  }
}

/** A group or a discussion: its names, members and notifications. */
export class RoomDialog {
  #api;
  #before;
  #form;
  #room;

  constructor(form, api, onRemoved) {
    this.#form = form;
    this.#api = api;
    form.querySelector(".leave").addEventListener("click", async () => {
      if (!confirm(`Leave ${this.#room.name}?`)) return;
      await api.changeRoom(this.#room.id, { leave: true });
      form.closest("dialog").close();
      onRemoved();
    });
  }

  open(room, me, friends) {
    this.#room = room;
    const mine = room.members.find(({ account }) => account === me);
    const isGroup = room.kind === "group";
    const isLeader = !isGroup || room.owner === me || mine?.admin;
    const show = (name, isShown) => {
      this.#form.elements[name].closest("label").hidden = !isShown;
    };
    show("name", isLeader);
    show("memo", isGroup && isLeader);
    show("card", isGroup);
    show("silence", isGroup && isLeader);
    this.#form.elements.silence.checked = Boolean(room.silenced);
    this.#form.querySelector("h2").textContent = room.title;
    this.#form.querySelector(".memo").textContent = isLeader ? "" : room.memo;
    this.#before = {
      name: room.title,
      mark: room.mark,
      memo: room.memo,
      card: mine?.card ?? "",
      mask: room.mask,
    };
    fill(this.#form, this.#before);
    this.#fillCandidates(friends);
  }

  #fillCandidates(friends) {
    const inside = new Set(this.#room.members.map(({ account }) => account));
    const outside = friends.filter(({ number }) => !inside.has(number));
    arrange(this.#form.querySelector("#room-candidates"), outside.map(candidateRow));
    this.#form.querySelector("#no-room-candidates").hidden = outside.length > 0;
  }

  async save() {
    const changes = changesOf(this.#form, this.#before);
    if (changes.mask !== undefined) changes.mask = Number(changes.mask);
    const chosen = this.#form.querySelectorAll("#room-candidates input:checked");
    const { checked } = this.#form.elements.silence;
    if (checked !== Boolean(this.#room.silenced)) changes.silence = checked;
    if (chosen.length) changes.add = Array.from(chosen, (box) => Number(box.value));
    if (Object.keys(changes).length) await this.#api.changeRoom(this.#room.id, changes);
  }
}

/** The user's own profile. */
export class ProfileDialog {
  #api;
  #before = {};
  #form;

  constructor(form, api) {
    this.#form = form;
    this.#api = api;
  }

  async open() {
    const { profile } = await this.#api.profile();
    const texts = [...this.#form.elements].map(({ name }) => name).filter((name) => name in profile);
    this.#before = Object.fromEntries(texts.map((name) => [name, profile[name]]));
    this.#before.birthday = dateText(profile.birthday);
    fill(this.#form, this.#before);
  }

  async save() {
    const changes = changesOf(this.#form, this.#before);
    if (changes.allow !== undefined) changes.allow = Number(changes.allow);
    if (changes.birthday !== undefined) {
      changes.birthday = changes.birthday ? changes.birthday.split("-").map(Number) : [0, 0, 0];
    }
    if (Object.keys(changes).length) await this.#api.changeProfile(changes);
  }
}

/** A date as an input field takes it; empty for none. */
const dateText = ([year, month, day]) =>
  year ? [String(year).padStart(4, "0"), month, day].map((part) => String(part).padStart(2, "0")).join("-") : "";

/** Draw friend and group requests above the list; `onProblem(text)` receives errors. */
export function drawRequests(node, requests, groupRequests, api, onProblem) {
  const friends = requests.map(({ asker, nick, text }) =>
    requestRow({ number: asker, name: nick }, text || `QQ ${asker}`, (isAccepted) =>
      api.answerRequest(asker, isAccepted).catch((error) => onProblem(error.message)),
    ),
  );
  const groups = groupRequests.map(({ id, asker, nick, name, text, is_invitation: isInvited }) => {
    const wish = isInvited ? `invites you to ${name}` : `asks to join ${name}`;
    return requestRow({ number: asker, name: nick }, text ? `${wish}: ${text}` : wish, (isAccepted) =>
      api.answerGroupRequest(id, isAccepted).catch((error) => onProblem(error.message)),
    );
  });
  arrange(node, [...friends, ...groups]);
}

function requestRow(person, text, answer) {
  const row = fromTemplate("request-row");
  drawAvatar(row.querySelector(".avatar"), person);
  row.querySelector(".name").textContent = person.name;
  row.querySelector(".text").textContent = text;
  row.querySelector(".accept").addEventListener("click", () => answer(true));
  row.querySelector(".refuse").addEventListener("click", () => answer(false));
  return row;
}
