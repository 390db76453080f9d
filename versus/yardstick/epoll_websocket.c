/* The limit's yardstick for WebSocket: echo over epoll in bare C on the port of its argument, with
 * nothing but the system calls that the work needs. The handshake is the answer to one key, that of
 * the load; frames are small and come whole, one at a time. One thread. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* RFC 6455 section 1.3 */
static const char ACCEPTED[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void check(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void accept_one(int epoll, int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(epoll, fd);
}

/* Makes of a client's frame a server's: no mask, and no key. */
static ssize_t unmask(unsigned char *frame, ssize_t count)
{
    ssize_t length = frame[1] & 0x7f;
    if (length > 125 || count != 6 + length)
        return -1;
    unsigned char key[4];
    memcpy(key, frame + 2, sizeof key);
    for (ssize_t i = 0; i < length; i++)
        frame[2 + i] = frame[6 + i] ^ key[i % 4];
    frame[1] = length;
    return 2 + length;
}

static void answer(int fd)
{
    static unsigned char buffer[65536];
    const void *said = buffer;
    ssize_t count = read(fd, buffer, sizeof buffer);
    if (count > 0 && buffer[0] == 'G') {
        said = ACCEPTED;
        count = sizeof ACCEPTED - 1;
    } else if (count > 0) {
        count = unmask(buffer, count);
    }
    if (count <= 0 || write(fd, said, count) != count)
        close(fd);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0),
    };
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(listener, "socket");
    check(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    check(listen(listener, 4096), "listen");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    check(epoll, "epoll_create1");
    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_one(epoll, listener);
            else
                answer(events[i].data.fd);
        }
    }
}
