/* The limit's yardstick: echo over epoll in bare C on the port of its argument, with nothing but
 * the system calls that the work needs. One thread; a peer whose socket does not take an answer at
 * once is dropped, which does not happen to small messages in lock-step. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

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

static void echo(int fd)
{
    static char buffer[65536];
    ssize_t count = read(fd, buffer, sizeof buffer);
    if (count <= 0 || write(fd, buffer, count) != count)
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
                echo(events[i].data.fd);
        }
    }
}
