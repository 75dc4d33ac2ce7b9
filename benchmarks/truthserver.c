/* A streaming completions server that knows the truth.
 *
 * One epoll thread answers POST .../completions and .../chat/completions with a stream whose timing it decides (the
 * first event TTFT after the request has arrived, then one every ITL), and logs on CLOCK_MONOTONIC when each request
 * had wholly arrived and when each event was handed to the kernel.  GET /truth returns the log as JSON and clears it.
 * A client's own figures can then be held against what happened.
 *
 *   cc -O2 -o truthserver truthserver.c                          (with TLS: -DWITH_TLS ... -lssl -lcrypto)
 *   truthserver [--port N] [--ttft MS] [--itl MS] [--tokens N] [--events N] [--tls PEM]
 *
 *   --port    0 (default) takes a free one; the first line printed is the port
 *   --itl     0 floods: events are written as fast as the socket takes them
 *   --tokens  in each event
 *   --events  in each write, as a proxy or a busy server coalesces them: N events every N * ITL
 *   --tls     certificate and key in one file
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

#define MAX_FD 20000
#define READ_ROOM 65536
#define MS 1000000LL

typedef long long ns;

typedef struct {
    int fd, secure, shaken; /* shaken: the TLS handshake is over */
    char *in;
    size_t in_len, in_cap;
    char *out; /* what the socket did not take at once */
    size_t out_len, out_off, out_cap;
    int active, chat, usage, prompt, want, sent;
    ns due, arrived, first, last;
    int heap_pos;
#ifdef WITH_TLS
    SSL *tls;
#endif
} Conn;

typedef struct {
    ns arrived, first, last;
    int tokens;
} Request;

static struct { ns ttft, itl; int tokens, events; } opt = {50 * MS, 10 * MS, 1, 1};
static Conn *conns[MAX_FD], *heap[MAX_FD];
static int heap_len, epoll_fd, active, peak_active;
static Request *requests;
static size_t n_requests, cap_requests;
static float *gaps; /* between the writes of a stream, ms */
static size_t n_gaps, cap_gaps;
static long long n_events;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static ns now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ------------------------------------------------------------------ who is due next: a heap by time */

static void heap_swap(int a, int b) {
    Conn *c = heap[a];
    heap[a] = heap[b];
    heap[b] = c;
    heap[a]->heap_pos = a;
    heap[b]->heap_pos = b;
}

static void heap_up(int i) {
    while (i && heap[(i - 1) / 2]->due > heap[i]->due) {
        heap_swap(i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void heap_down(int i) {
    for (;;) {
        int left = 2 * i + 1, least = i;
        if (left < heap_len && heap[left]->due < heap[least]->due) least = left;
        if (left + 1 < heap_len && heap[left + 1]->due < heap[least]->due) least = left + 1;
        if (least == i) return;
        heap_swap(i, least);
        i = least;
    }
}

static void heap_add(Conn *c) {
    c->heap_pos = heap_len;
    heap[heap_len++] = c;
    heap_up(c->heap_pos);
}

static void heap_remove(Conn *c) {
    int i = c->heap_pos;
    if (i < 0) return;
    heap_swap(i, --heap_len);
    if (i < heap_len) {
        heap_up(i);
        heap_down(i);
    }
    c->heap_pos = -1;
}

/* ------------------------------------------------------------------ sockets, with and without TLS */

static void wait_writable(Conn *c, int on) {
    struct epoll_event e = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.fd = c->fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

static void drop(Conn *c) {
    heap_remove(c);
    if (c->active) active--;
#ifdef WITH_TLS
    if (c->tls) SSL_free(c->tls);
#endif
    close(c->fd);
    conns[c->fd] = NULL;
    free(c->in);
    free(c->out);
    free(c);
}

/* Bytes moved; 0: not now; -1: the peer has gone. */
static ssize_t put(Conn *c, const char *data, size_t n) {
#ifdef WITH_TLS
    if (c->secure) {
        int k = SSL_write(c->tls, data, n);
        if (k > 0) return k;
        int why = SSL_get_error(c->tls, k);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t k = send(c->fd, data, n, MSG_NOSIGNAL);
    return k >= 0 ? k : errno == EAGAIN ? 0 : -1;
}

static ssize_t get(Conn *c, char *data, size_t n) {
#ifdef WITH_TLS
    if (c->secure) {
        int k = SSL_read(c->tls, data, n);
        if (k > 0) return k;
        int why = SSL_get_error(c->tls, k);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
#endif
    ssize_t k = recv(c->fd, data, n, 0);
    return k > 0 ? k : k < 0 && errno == EAGAIN ? 0 : -1;
}

static int push(Conn *c, const char *data, size_t n) {
    if (c->out_off == c->out_len) {
        c->out_off = c->out_len = 0;
        ssize_t k = put(c, data, n);
        if (k < 0) return -1;
        if ((size_t)k == n) return 0;
        data += k;
        n -= k;
    }
    if (c->out_len + n > c->out_cap) {
        c->out_cap = (c->out_len + n) * 2;
        c->out = realloc(c->out, c->out_cap);
    }
    memcpy(c->out + c->out_len, data, n);
    c->out_len += n;
    wait_writable(c, 1);
    return 0;
}

static int push_out(Conn *c) {
    while (c->out_off < c->out_len) {
        ssize_t k = put(c, c->out + c->out_off, c->out_len - c->out_off);
        if (k < 0) return -1;
        if (!k) return 0;
        c->out_off += k;
    }
    c->out_len = c->out_off = 0;
    wait_writable(c, 0);
    return 0;
}

/* ------------------------------------------------------------------ answers */

#define META_CHAT "{\"id\":\"chatcmpl-8e398d35ca21865b\",\"object\":\"chat.completion.chunk\",\"created\":1795337437,\"model\":\"truth\","
#define META_TEXT "{\"id\":\"cmpl-8e398d35ca21865b\",\"object\":\"text_completion\",\"created\":1795337437,\"model\":\"truth\","

static int answer(Conn *c, const char *status, const char *type, const char *body, size_t n) {
    char head[256];
    int m = snprintf(head, sizeof head, "HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n\r\n", status, type, n);
    return push(c, head, m) || push(c, body, n);
}

static size_t add_chunk(char *to, const char *json) {
    return sprintf(to, "%zx\r\ndata: %s\n\n\r\n", strlen(json) + 8, json);
}

static size_t add_event(Conn *c, char *to) {
    static const char *words[] = {" the", " quick", " brown", " fox", " jumps", " over", " a", " lazy", " dog"};
    char json[2048], text[1024] = "";
    int n = opt.tokens < c->want - c->sent ? opt.tokens : c->want - c->sent;
    for (int i = 0; i < n; i++) strcat(text, words[(c->sent + i) % 9]);
    c->sent += n;
    n_events++;
    const char *finish = c->sent == c->want ? "\"length\"" : "null";
    if (c->chat)
        sprintf(json, META_CHAT "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":%s,\"token_ids\":null}]}", text, finish);
    else
        sprintf(json, META_TEXT "\"choices\":[{\"index\":0,\"text\":\"%s\",\"logprobs\":null,\"finish_reason\":%s,\"stop_reason\":null,\"prompt_token_ids\":null,\"token_ids\":null}]}", text, finish);
    return add_chunk(to, json);
}

static void log_gap(float ms) {
    if (n_gaps == cap_gaps) {
        cap_gaps = cap_gaps ? cap_gaps * 2 : 1 << 16;
        gaps = realloc(gaps, cap_gaps * sizeof *gaps);
    }
    gaps[n_gaps++] = ms;
}

static void log_request(Conn *c) {
    if (n_requests == cap_requests) {
        cap_requests = cap_requests ? cap_requests * 2 : 4096;
        requests = realloc(requests, cap_requests * sizeof *requests);
    }
    requests[n_requests++] = (Request){c->arrived, c->first, c->last, c->want};
    c->active = 0;
    active--;
}

/* What follows the last event, in a write of its own as real servers do. */
static int emit_end(Conn *c) {
    char data[1024], json[512];
    size_t n = 0;
    if (c->usage) {
        sprintf(json, "%s\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d,\"completion_tokens\":%d}}", c->chat ? META_CHAT : META_TEXT, c->prompt, c->prompt + c->want, c->want);
        n += add_chunk(data, json);
    }
    n += sprintf(data + n, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    log_request(c);
    return push(c, data, n);
}

/* The next write of this stream; -1 if the peer has gone. */
static int emit(Conn *c) {
    static char data[1 << 16];
    size_t n = 0;
    if (!c->sent)
        n += sprintf(data, "HTTP/1.1 200 OK\r\nserver: truth\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n");
    int first = !c->sent, events = first ? 1 : opt.events;
    while (events-- && c->sent < c->want) n += add_event(c, data + n);
    ns t = now();
    if (push(c, data, n)) return -1;
    if (first) c->first = t;
    else log_gap((t - c->last) / 1e6);
    c->last = t;
    return c->sent == c->want ? emit_end(c) : 0;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double gap_at(double share) { return n_gaps ? gaps[(size_t)((n_gaps - 1) * share)] : 0.0; }

static int tell_truth(Conn *c) {
    size_t cap = 4096 + n_requests * 96, n = 0;
    char *body = malloc(cap);
    double sum = 0;
    qsort(gaps, n_gaps, sizeof *gaps, by_size);
    for (size_t i = 0; i < n_gaps; i++) sum += gaps[i];
    n += sprintf(body, "{\"events\":%lld,\"peak_active\":%d,\"itl_ms\":{\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f},\"requests\":[",
                 n_events, peak_active, n_gaps ? sum / n_gaps : 0, gap_at(.5), gap_at(.9), gap_at(.99), gap_at(1));
    for (size_t i = 0; i < n_requests; i++)
        n += sprintf(body + n, "%s[%lld,%lld,%lld,%d]", i ? "," : "", requests[i].arrived, requests[i].first, requests[i].last, requests[i].tokens);
    n += sprintf(body + n, "]}");
    int gone = answer(c, "200 OK", "application/json", body, n);
    free(body);
    n_requests = n_gaps = n_events = 0;
    peak_active = active;
    return gone;
}

/* ------------------------------------------------------------------ requests */

static int field(const char *body, const char *end, const char *name) {
    const char *p = memmem(body, end - body, name, strlen(name));
    if (!p) return -1;
    for (p += strlen(name); p < end && (*p == ' ' || *p == ':' || *p == '"'); p++) {}
    return !strncmp(p, "true", 4) ? 1 : !strncmp(p, "false", 5) ? 0 : atoi(p);
}

/* Token ids are counted, of a text the words. */
static int prompt_tokens(const char *body, const char *end) {
    int n = 1;
    const char *p = memmem(body, end - body, "\"prompt\"", 8);
    if (!p) p = memmem(body, end - body, "\"content\"", 9);
    if (!p) return n;
    for (p = strchr(p, ':'); p && p < end && *p != '[' && *p != '"'; p++) {}
    if (!p || p >= end) return n;
    if (*p == '[') {
        for (; p < end && *p != ']'; p++) n += *p == ',';
        return n;
    }
    for (p++; p < end && *p != '"'; p++) {
        if (*p == '\\') p++;
        n += *p == ' ';
    }
    return n;
}

static int begin(Conn *c, const char *body, const char *end) {
    c->want = field(body, end, "\"max_tokens\"");
    if (c->want < 0) c->want = field(body, end, "\"max_completion_tokens\"");
    if (c->want <= 0) c->want = 16;
    c->sent = 0;
    c->usage = field(body, end, "\"include_usage\"") == 1;
    c->prompt = prompt_tokens(body, end);
    if (field(body, end, "\"stream\"") != 1) {
        char json[512];
        int n = sprintf(json, "{\"id\":\"x\",\"object\":\"text_completion\",\"model\":\"truth\",\"choices\":[{\"index\":0,\"text\":\" the\",\"message\":{\"role\":\"assistant\",\"content\":\" the\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d,\"completion_tokens\":%d}}",
                        c->prompt, c->prompt + c->want, c->want);
        return answer(c, "200 OK", "application/json", json, n);
    }
    c->arrived = now();
    c->active = 1;
    if (++active > peak_active) peak_active = active;
    c->due = c->arrived + opt.ttft;
    heap_add(c);
    return 0;
}

static int handle(Conn *c) {
    static const char models[] = "{\"object\":\"list\",\"data\":[{\"id\":\"truth\",\"object\":\"model\",\"created\":1,\"owned_by\":\"truth\",\"max_model_len\":131072}]}";
    while (!c->active && c->in_len) {
        char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
        if (!end) return 0;
        size_t head = end - c->in + 4;
        char *length = strcasestr(c->in, "content-length:");
        size_t body = length && length < end ? strtoul(length + 15, 0, 10) : 0;
        if (c->in_len < head + body) return 0;
        int gone;
        if (!strncmp(c->in, "GET /truth", 10)) gone = tell_truth(c);
        else if (!strncmp(c->in, "GET /v1/models", 14)) gone = answer(c, "200 OK", "application/json", models, sizeof models - 1);
        else if (!strncmp(c->in, "GET /health", 11)) gone = answer(c, "200 OK", "text/plain", "ok\n", 3);
        else if (strncmp(c->in, "POST ", 5) || !memmem(c->in, head, "/completions", 12)) gone = answer(c, "404 Not Found", "text/plain", "", 0);
        else {
            c->chat = memmem(c->in, head, "/chat/", 6) != NULL;
            gone = begin(c, c->in + head, c->in + head + body);
        }
        if (gone) return -1;
        memmove(c->in, c->in + head + body, c->in_len - head - body);
        c->in_len -= head + body;
    }
    return 0;
}

static int receive(Conn *c) {
    for (;;) {
        if (c->in_cap - c->in_len < READ_ROOM) {
            c->in_cap = c->in_cap ? c->in_cap * 2 : 2 * READ_ROOM;
            c->in = realloc(c->in, c->in_cap + 1);
        }
        ssize_t k = get(c, c->in + c->in_len, c->in_cap - c->in_len);
        if (k < 0) return -1;
        if (!k) break;
        c->in_len += k;
        c->in[c->in_len] = 0;
        if (!c->secure) break; /* level triggered: the rest comes with the next event */
    }
    return handle(c);
}

static int shake(Conn *c) {
#ifdef WITH_TLS
    int k = SSL_accept(c->tls);
    if (k == 1) c->shaken = 1;
    else {
        int why = SSL_get_error(c->tls, k);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return -1;
    }
#endif
    return c->shaken ? receive(c) : 0;
}

static void on_accept(int listener, int secure) {
    int one = 1;
    for (;;) {
        int fd = accept4(listener, 0, 0, SOCK_NONBLOCK);
        if (fd < 0) return;
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Conn *c = conns[fd] = calloc(1, sizeof *c);
        c->fd = fd;
        c->heap_pos = -1;
        c->secure = secure;
#ifdef WITH_TLS
        if (secure) {
            c->tls = SSL_new(tls_context);
            SSL_set_fd(c->tls, fd);
        }
#endif
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static void on_event(Conn *c, unsigned what) {
    int gone = 0;
    if (what & EPOLLOUT) gone = push_out(c);
    if (!gone && what & (EPOLLIN | EPOLLHUP | EPOLLERR)) gone = c->secure && !c->shaken ? shake(c) : receive(c);
    if (gone) drop(c);
}

static void emit_due(void) {
    ns t = now();
    for (int budget = 4096; budget && heap_len && heap[0]->due <= t; budget--) {
        Conn *c = heap[0];
        heap_remove(c);
        if (c->out_off < c->out_len && !opt.itl) { /* flood: wait for the socket */
            c->due = t + 200000;
            heap_add(c);
        } else if (emit(c)) drop(c);
        else if (c->active) {
            c->due = opt.itl ? c->due + opt.itl * (c->sent > opt.tokens ? opt.events : 1) : t;
            heap_add(c);
        } else if (handle(c)) drop(c);
    }
}

static int use_tls(const char *pem) {
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(tls_context, pem) == 1 && SSL_CTX_use_PrivateKey_file(tls_context, pem, SSL_FILETYPE_PEM) == 1) return 1;
    fprintf(stderr, "%s: no certificate and key\n", pem);
#else
    fprintf(stderr, "%s: built without TLS\n", pem);
#endif
    exit(2);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"port", 1, 0, 'p'}, {"ttft", 1, 0, 't'}, {"itl", 1, 0, 'i'}, {"tokens", 1, 0, 'n'}, {"events", 1, 0, 'e'}, {"tls", 1, 0, 's'}, {0, 0, 0, 0}};
    int port = 0, secure = 0, one = 1;
    for (int c; (c = getopt_long(argc, argv, "", names, 0)) != -1;) switch (c) {
            case 'p': port = atoi(optarg); break;
            case 't': opt.ttft = atof(optarg) * MS; break;
            case 'i': opt.itl = atof(optarg) * MS; break;
            case 'n': opt.tokens = atoi(optarg); break;
            case 'e': opt.events = atoi(optarg); break;
            case 's': secure = use_tls(optarg); break;
            default: return 2;
        }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    if (bind(listener, (void *)&where, size) || listen(listener, 8192) || getsockname(listener, (void *)&where, &size)) {
        perror("bind");
        return 1;
    }
    printf("%d\n", ntohs(where.sin_port));
    fflush(stdout);
    epoll_fd = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[1024];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        struct timespec wait = {3600, 0};
        if (heap_len) {
            ns left = heap[0]->due - now();
            if (left < 0) left = 0;
            wait = (struct timespec){left / 1000000000LL, left % 1000000000LL};
        }
        int n = epoll_pwait2(epoll_fd, events, 1024, &wait, NULL);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) on_accept(listener, secure);
            else if (conns[fd]) on_event(conns[fd], events[i].events);
        }
        emit_due();
    }
}
