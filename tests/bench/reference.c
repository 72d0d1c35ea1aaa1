/* The limit of the transport: a closed loop on libcurl's multi_socket interface and epoll.
 *
 *     reference CONVERSATIONS WARM_UP SECONDS URL [h2]
 *
 * As few steps between libcurl and the kernel as there can be: one multi handle, one easy handle
 * for each conversation, added again as soon as its answer has come. What a client on libcurl
 * loses against this, it loses by its own work. Unlike a good client it obeys every POLL_REMOVE,
 * as libcurl's own example does (docs/examples/ephiperfifo.c), and has one multi for all
 * connections, in whose pool libcurl searches from the start: with thousands of them to one
 * host that is most of its time.
 *
 * Prints one line of JSON: see `Round` in children.py.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum { EVENTS = 1024, BODY = 13, TOTAL_TIMEOUT_S = 60 };

static int epoll_fd;
static long timeout_ms = -1; /* what libcurl last asked for; -1: nothing to wait for */
static char is_known;        /* its address marks a socket that epoll has already */

static double seconds_of(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t on_body(char *data, size_t size, size_t count, void *received) {
  (void)data;
  *(long *)received += (long)(size * count);
  return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *multi, void *known) {
  struct epoll_event event = {0};
  (void)easy;
  event.data.fd = fd;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
    curl_multi_assign(multi, fd, NULL);
    return 0;
  }
  event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
  epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  if (!known) curl_multi_assign(multi, fd, &is_known);
  return 0;
}

static int on_timer(CURLM *multi, long ms, void *unused) {
  (void)multi, (void)unused;
  timeout_ms = ms;
  return 0;
}

static CURL *conversation(const char *url, int http2, long *received) {
  CURL *easy = curl_easy_init();
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, received);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)TOTAL_TIMEOUT_S);
  if (http2) {
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  }
  return easy;
}

static int act(CURLM *multi) {
  struct epoll_event events[EVENTS];
  int running = 1, ready = epoll_wait(epoll_fd, events, EVENTS, (int)timeout_ms);
  if (ready == 0 || timeout_ms == 0) {
    timeout_ms = -1;
    curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
  }
  for (int i = 0; i < ready; i++) {
    unsigned got = events[i].events;
    int mask = (got & EPOLLIN ? CURL_CSELECT_IN : 0) | (got & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (got & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
  }
  return running;
}

int main(int argc, char **argv) {
  if (argc < 5) return fprintf(stderr, "CONVERSATIONS WARM_UP SECONDS URL [h2]\n"), 2;
  long conversations = atol(argv[1]), count = 0, total = 0, bad = 0, received = 0;
  double begin = 0, end = 0, cpu = 0, from = 0, to = 0;
  curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM *multi = curl_multi_init();
  epoll_fd = epoll_create1(0);
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, conversations * 2);
  for (long i = 0; i < conversations; i++)
    curl_multi_add_handle(multi, conversation(argv[4], argc > 5, &received));

  for (int running = 1; running;) {
    CURLMsg *message;
    int left;
    running = act(multi);
    while ((message = curl_multi_info_read(multi, &left))) {
      CURL *easy = message->easy_handle;
      CURLcode result = message->data.result;
      long status = 0;
      double now = seconds_of(CLOCK_MONOTONIC);
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      /* The clock starts with the first answer, as in tally.py. */
      if (!total++) begin = now + atof(argv[2]), end = begin + atof(argv[3]);
      bad += result != CURLE_OK || status != 200;
      curl_multi_remove_handle(multi, easy);
      if (now >= end) {
        if (!to) to = now, cpu += seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        continue;
      }
      if (now >= begin && !count++) from = now, cpu -= seconds_of(CLOCK_PROCESS_CPUTIME_ID);
      curl_multi_add_handle(multi, easy);
      running = 1;
    }
  }
  printf("{\"count\": %ld, \"total\": %ld, \"bad\": %ld, \"seconds\": %f, \"cpu\": %f,"
         " \"version\": \"%s\"}\n",
         count, total, bad + (received != total * BODY), end - begin,
         count ? cpu * (end - begin) / (to - from) : 0,
         curl_version());
  return 0;
}
