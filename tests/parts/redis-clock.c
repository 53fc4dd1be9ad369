/* A clock that a test moves: loaded into redis-server, it answers gettimeofday with the microseconds since 1970 that the
   file REDIS_CLOCK holds, as 8 bytes in the machine's order. (libfaketime and Redis' allocator wait for each other.) */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static const volatile int64_t *now;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("REDIS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *now, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        _exit(1);
    close(file);
    now = page;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    int64_t micros = __atomic_load_n(now, __ATOMIC_ACQUIRE);
    time->tv_sec = micros / 1000000;
    time->tv_usec = micros % 1000000;
    return 0;
}
