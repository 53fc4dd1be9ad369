/* What tries to get out of a container, or to take more than its share, and a server that is no module.
 *
 *   probe NAME      makes one attempt, and says what came of it: `success …` or `refused …`, in one line
 *   probe list      the attempts
 *   probe work      works until it is ended
 *   probe serve     listens on SYNAPSE_SOCKET, and answers 404 to everything
 *
 * An attempt succeeds when the container gets what it should not have, not when it gets further. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char said[256];

static int won(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vsnprintf(said, sizeof said, format, rest);
    va_end(rest);
    return 1;
}
static int lost(const char *what) {
    snprintf(said, sizeof said, "%s: %s", what, strerror(errno));
    return 0;
}
/* Whether a system call that should be refused went through. */
static int went(const char *what, long result) { return result >= 0 ? won("%s", what) : lost(what); }

static int writes(const char *path, const char *text, int flags) {
    int file = open(path, O_WRONLY | O_CLOEXEC | flags, 0755);
    if (file < 0) return lost(path);
    ssize_t written = write(file, text, strlen(text));
    return written > 0 ? won("wrote to %s", path) : lost(path);
}
static int reads(const char *path) {
    char bytes[64];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return lost(path);
    ssize_t got = read(file, bytes, sizeof bytes);
    return got > 0 ? won("read %s", path) : lost(path);
}
static int connects(const char *address, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &to.sin_addr);
    int end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (end < 0) return lost("socket");
    struct timeval limit = {.tv_sec = 2};
    setsockopt(end, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(end, (struct sockaddr *)&to, sizeof to) == 0) return won("connected");
    /* Refused by whoever is there, or silent for want of an answer: packets got out all the same. */
    if (errno == ECONNREFUSED || errno == EINPROGRESS) return won("packets go out: %s", strerror(errno));
    return lost(address);
}
static int talks(const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    int end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return end >= 0 && connect(end, (struct sockaddr *)&to, sizeof to) == 0 ? won("connected to %s", path) : lost(path);
}
/* Whether a child did it: exit status 0. */
static int child_did(pid_t child, const char *what) {
    int status = 0;
    if (child < 0) return lost("fork");
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return won("%s", what);
    errno = EPERM;
    return lost(what);
}

/* The file system. */
static int write_root(void) { return writes("/evil", "x", O_CREAT); }
static int write_program(void) { return writes("/probe", "x", 0); }
static int write_sysctl(void) { return writes("/proc/sys/kernel/core_pattern", "|/evil", 0); }
static int write_sysrq(void) { return writes("/proc/sysrq-trigger", "h", 0); }
static int write_release_agent(void) {
    char path[128];
    const char *groups[] = {"memory", "pids", "rdma", "devices", "unified"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/release_agent", groups[i]);
        if (writes(path, "/evil", 0)) return 1;
    }
    return 0;
}
static int cgroup_remount(void) {
    mkdir("/tmp/cg", 0755);
    return went("mount of a cgroup", mount("cgroup", "/tmp/cg", "cgroup", 0, "memory"));
}
static int mount_tmpfs(void) { return went("mount", mount("none", "/tmp", "tmpfs", 0, "")); }
static int mount_api(void) { return went("fsopen", syscall(SYS_fsopen, "tmpfs", 0)); }
static int clone_tree(void) { return went("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1)); }
static int pivot(void) { return went("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp")); }
static int make_device(void) {
    if (mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)) == 0) return won("made a block device");
    return went("mknod", mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)));
}
static int read_memory(void) { return reads("/dev/mem") || reads("/proc/kcore"); }
static int read_keys(void) { return reads("/proc/keys") || reads("/proc/timer_list"); }
static int read_kernel_log(void) {
    char bytes[64];
    return went("syslog", syscall(SYS_syslog, 3, bytes, sizeof bytes));
}
static int open_by_handle(void) {
    /* The root of the file system that the socket's directory lies on: the machine's own, where it is a plain bind. */
    struct { struct file_handle head; unsigned char inode[8]; } handle = {{8, 1}, {2}};
    int base = open("/etc", O_RDONLY | O_CLOEXEC);
    return went("open_by_handle_at", syscall(SYS_open_by_handle_at, base, &handle, O_RDONLY));
}
static int chroot_out(void) {
    mkdir("/tmp/jail", 0755);
    return went("chroot", chroot("/tmp/jail"));
}
static int others_root(void) {
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    struct stat own, theirs;
    if (stat("/", &own) != 0) return lost("/");
    while (processes && (entry = readdir(processes))) {
        char path[300];
        snprintf(path, sizeof path, "/proc/%s/root/", entry->d_name);
        if (atoi(entry->d_name) > 0 && stat(path, &theirs) == 0 && (own.st_dev != theirs.st_dev || own.st_ino != theirs.st_ino))
            return won("another root at %s", path);
    }
    errno = ENOENT;
    return lost("another root");
}
static int docker_socket(void) { return talks("/var/run/docker.sock") || talks("/run/docker.sock") || talks("/run/containerd/containerd.sock"); }

/* More rights. */
static int user_namespace(void) { return went("unshare", unshare(CLONE_NEWUSER)); }
static int mount_namespace(void) { return went("unshare", unshare(CLONE_NEWNS)); }
static int clone_namespace(void) {
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    return went("clone", child);
}
static int clone3_namespace(void) {
    unsigned long arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long child = syscall(SYS_clone3, arguments, sizeof arguments);
    if (child == 0) _exit(0);
    return went("clone3", child);
}
static int join_namespace(void) {
    int space = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (space < 0) return lost("/proc/1/ns/mnt");
    return went("setns", setns(space, 0));
}
static int become_root(void) { return getuid() == 0 ? won("it is root already") : went("setuid", setuid(0)); }
static int setuid_program(void) {
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0) _exit(0);
        execl("/bin/as-root", "as-root", "am-i-root", NULL);
        _exit(1);
    }
    return child_did(child, "root by a program's mode");
}
static int am_i_root(void) { return geteuid() == 0 ? won("root") : lost("root"); }
static int keep_capability(void) {
    for (int capability = 0; capability < 41; capability++)
        if (prctl(PR_CAPBSET_READ, capability) == 1) return won("capability %d can be had", capability);
    errno = EPERM;
    return lost("a capability");
}
static int trace(void) {
    pid_t child = fork();
    if (child == 0) { pause(); _exit(0); }
    long traced = ptrace(PTRACE_ATTACH, child, 0, 0);
    int failure = errno;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    errno = failure;
    return went("ptrace", traced);
}
static int trace_first(void) { return went("ptrace of process 1", ptrace(PTRACE_SEIZE, 1, 0, 0)); }
static int read_process(void) {
    char own[8] = "secret", got[8];
    unsigned long to[2] = {(unsigned long)got, 8}, from[2] = {(unsigned long)own, 8};
    return went("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), to, 1L, from, 1L, 0L));
}

/* The kernel's wider surface. */
static int raw_socket(void) { return went("a raw socket", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int packet_socket(void) { return went("a packet socket", socket(AF_PACKET, SOCK_RAW, 0)); }
static int vsock(void) { return went("AF_VSOCK", socket(AF_VSOCK, SOCK_STREAM, 0)); }
static int alg(void) { return went("AF_ALG", socket(AF_ALG, SOCK_SEQPACKET, 0)); }
static int netlink(void) { return went("AF_NETLINK", socket(AF_NETLINK, SOCK_RAW, 0)); }
static int io_uring(void) {
    char parameters[256] = {0};
    return went("io_uring_setup", syscall(SYS_io_uring_setup, 4, parameters));
}
static int fault_handler(void) {
    long handler = syscall(SYS_userfaultfd, O_CLOEXEC | 1);
    return went("userfaultfd", handler);
}
static int bpf(void) {
    unsigned int arguments[32] = {1, 4, 4, 1};
    return went("bpf", syscall(SYS_bpf, 0, arguments, sizeof arguments));
}
static int perf(void) {
    char attributes[128] = {1, 0, 0, 0, 64};
    attributes[40] = 0x60;
    return went("perf_event_open", syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0));
}
static int keys(void) { return went("keyctl", syscall(SYS_keyctl, 0, -3, 1, 0, 0)); }
static int add_key(void) { return went("add_key", syscall(SYS_add_key, "user", "evil", "x", 1L, -3L)); }
static int restart(void) {
    /* Turns Ctrl-Alt-Del off: as good a proof as restarting. */
    return went("reboot", reboot(RB_DISABLE_CAD));
}
static int load_kernel(void) { return went("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0)); }
static int load_module(void) { return went("init_module", syscall(SYS_init_module, "", 0, "")) || went("finit_module", syscall(SYS_finit_module, 0, "", 0)); }
static int swap_on(void) {
    int file = open("/tmp/swap", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
    return went("swapon", swapon("/tmp/swap", 0));
}
static int set_time(void) {
    /* To what it is, should it succeed. */
    struct timeval now;
    gettimeofday(&now, NULL);
    return went("settimeofday", settimeofday(&now, NULL));
}
static int set_name(void) { return went("sethostname", sethostname("evil", 4)); }
static int io_ports(void) { return went("iopl", syscall(SYS_iopl, 3)); }

/* Programs that the image did not bring. */
static int run_copy(int to) {
    char bytes[65536];
    ssize_t got;
    int from = open("/probe", O_RDONLY | O_CLOEXEC);
    while (from >= 0 && (got = read(from, bytes, sizeof bytes)) > 0)
        if (write(to, bytes, got) != got) break;
    char path[64];
    /* Not through the writing end: a file that is being written is not executed. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", to);
    int program = open(path, O_RDONLY | O_CLOEXEC);
    close(to);
    pid_t child = fork();
    if (child == 0) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", program);
        execl(path, "probe", "am-i-here", NULL);
        _exit(1);
    }
    return child_did(child, "ran it");
}
static int run_memory(void) {
    int file = syscall(SYS_memfd_create, "evil", MFD_CLOEXEC);
    return file < 0 ? lost("memfd_create") : run_copy(file);
}
static int run_file(const char *path) {
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    return file < 0 ? lost(path) : run_copy(file);
}
static int run_scratch(void) { return run_file("/tmp/evil"); }
static int run_shared(void) { return run_file("/dev/shm/evil"); }
static int run_exchange(void) { return run_file("/run/synapse/evil"); }

/* The network. */
static int metadata(void) { return connects("169.254.169.254", 80); }
static int internet(void) { return connects("192.0.2.1", 443); }
static int gateway(void) { return connects("172.17.0.1", 22); }
static int host_loopback(void) {
    /* Something listens on the machine's loopback, whose port the check says: it must not be the same loopback. */
    const char *port = getenv("HOST_PORT");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 1)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return went("the machine's loopback", end < 0 ? end : connect(end, (struct sockaddr *)&to, sizeof to));
}
static int abstract_socket(void) {
    const char *name = getenv("HOST_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = name ? strlen(name) : 0;
    if (length) memcpy(to.sun_path + 1, name, length);
    int end = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return went("an abstract socket of the machine", end < 0 ? end : connect(end, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + 1 + length));
}

/* More than its share. Each ends by itself where no limit holds, before it hurts. */
static int fork_bomb(void) {
    static pid_t children[2000];
    int count = 0;
    while (count < 2000 && (children[count] = fork()) > 0) count++;
    if (count < 2000 && children[count] == 0) { pause(); _exit(0); }
    int failure = errno;
    for (int i = 0; i < count; i++) kill(children[i], SIGKILL);
    for (int i = 0; i < count; i++) waitpid(children[i], NULL, 0);
    errno = failure;
    if (count >= 2000) return won("2000 processes");
    int refused = lost("fork");
    snprintf(said + strlen(said), sizeof said - strlen(said), " after %d", count);
    return refused;
}
static int memory_bomb(void) {
    const size_t piece = 16 << 20;
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 64; i++) {
            char *got = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (got == MAP_FAILED) _exit(1);
            memset(got, 1, piece);
        }
        _exit(0);
    }
    return child_did(child, "1 GiB of memory");
}
static int lock_memory(void) {
    const size_t most = 256 << 20;
    char *got = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return got == MAP_FAILED ? lost("mmap") : went("256 MiB locked", mlock(got, most));
}
static int fill(const char *path, size_t most) {
    static char bytes[1 << 16];
    size_t total = 0;
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0) return lost(path);
    pid_t child = fork();
    if (child == 0) {
        while (total < most) {
            ssize_t written = write(file, bytes, sizeof bytes);
            if (written <= 0) _exit(1);
            total += written;
        }
        _exit(0);
    }
    int filled = child_did(child, path);
    unlink(path);
    return filled;
}
static int fill_root(void) { return fill("/var-fill", 512 << 20); }
static int fill_scratch(void) { return fill("/tmp/fill", 512 << 20); }
static int fill_shared(void) { return fill("/dev/shm/fill", 512 << 20); }
static int fill_exchange(void) { return fill("/run/synapse/fill", 1 << 20); }
static int many_files(const char *directory, int most) {
    char path[128];
    int made = 0, file;
    for (; made < most; made++) {
        snprintf(path, sizeof path, "%s/f%d", directory, made);
        if ((file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0) break;
        close(file);
    }
    int failure = errno;
    for (int i = 0; i < made; i++) {
        snprintf(path, sizeof path, "%s/f%d", directory, i);
        unlink(path);
    }
    errno = failure;
    return made >= most ? won("%d files in %s", made, directory) : lost(directory);
}
static int files_exchange(void) { return many_files("/run/synapse", 1000); }
static int files_scratch(void) { return many_files("/tmp", 100000); }
static int open_files(void) {
    int opened = 0;
    struct rlimit more = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_NOFILE, &more);
    while (opened < 100000 && dup(0) >= 0) opened++;
    return opened >= 100000 ? won("%d open files", opened) : lost("dup");
}
static int shared_segments(void) {
    long kept = 0;
    while (kept < 64) {
        int segment = shmget(IPC_PRIVATE, 16 << 20, IPC_CREAT | 0600);
        if (segment < 0) return lost("shmget");
        pid_t child = fork();
        if (child == 0) {
            char *at = shmat(segment, NULL, 0);
            if (at == (void *)-1) _exit(1);
            memset(at, 1, 16 << 20);
            _exit(0);
        }
        if (!child_did(child, "shared memory")) return lost("shared memory");
        kept++;
    }
    return won("1 GiB of shared memory");
}
static int core_dump(void) {
    struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};
    return went("cores of any size", setrlimit(RLIMIT_CORE, &more) < 0 ? -1 : getrlimit(RLIMIT_CORE, &more) < 0 || more.rlim_cur == 0 ? (errno = EPERM, -1) : 0);
}
static int more_priority(void) { return went("a higher priority", setpriority(PRIO_PROCESS, 0, -10)); }
static int real_time(void) {
    struct sched_param first = {.sched_priority = 50};
    return went("real-time priority", sched_setscheduler(0, SCHED_FIFO, &first));
}

static const struct { const char *name, *what; int (*make)(void); } attempts[] = {
    {"write-root", "write to /", write_root},
    {"write-program", "overwrite the image's program", write_program},
    {"write-sysctl", "write to /proc/sys (core_pattern)", write_sysctl},
    {"write-sysrq", "write to /proc/sysrq-trigger", write_sysrq},
    {"release-agent", "a cgroup's release_agent", write_release_agent},
    {"cgroup-mount", "mount a cgroup hierarchy", cgroup_remount},
    {"mount", "mount a tmpfs", mount_tmpfs},
    {"fsopen", "the newer mount calls (fsopen)", mount_api},
    {"open-tree", "clone a mount (open_tree)", clone_tree},
    {"pivot-root", "pivot_root", pivot},
    {"mknod", "make a device node", make_device},
    {"dev-mem", "read /dev/mem, /proc/kcore", read_memory},
    {"proc-keys", "read /proc/keys, /proc/timer_list", read_keys},
    {"kernel-log", "read the kernel's log", read_kernel_log},
    {"open-by-handle", "open a file of the machine by its handle (shocker)", open_by_handle},
    {"chroot", "chroot, the first step out of one", chroot_out},
    {"other-root", "another root through /proc/PID/root", others_root},
    {"docker-socket", "Docker's socket", docker_socket},
    {"user-namespace", "unshare a user namespace", user_namespace},
    {"mount-namespace", "unshare a mount namespace", mount_namespace},
    {"clone-namespace", "clone into a user namespace", clone_namespace},
    {"clone3-namespace", "clone3 into a user namespace", clone3_namespace},
    {"setns", "join the namespace of process 1", join_namespace},
    {"setuid", "be root (setuid 0)", become_root},
    {"setuid-program", "be root by a setuid program", setuid_program},
    {"capabilities", "have a capability to gain", keep_capability},
    {"ptrace", "trace a process", trace},
    {"ptrace-first", "trace process 1", trace_first},
    {"process-memory", "read a process's memory (process_vm_readv)", read_process},
    {"raw-socket", "a raw socket", raw_socket},
    {"packet-socket", "a packet socket", packet_socket},
    {"vsock", "AF_VSOCK", vsock},
    {"alg", "AF_ALG", alg},
    {"netlink", "AF_NETLINK", netlink},
    {"io-uring", "io_uring_setup", io_uring},
    {"userfaultfd", "userfaultfd", fault_handler},
    {"bpf", "bpf", bpf},
    {"perf", "perf_event_open", perf},
    {"keyctl", "keyctl", keys},
    {"add-key", "add_key", add_key},
    {"reboot", "reboot", restart},
    {"kexec", "kexec_load", load_kernel},
    {"module", "init_module, finit_module", load_module},
    {"swapon", "swapon", swap_on},
    {"settimeofday", "settimeofday", set_time},
    {"sethostname", "sethostname", set_name},
    {"iopl", "I/O ports (iopl)", io_ports},
    {"memfd-exec", "run a program from memory (memfd_create)", run_memory},
    {"tmp-exec", "run a program from /tmp", run_scratch},
    {"shm-exec", "run a program from /dev/shm", run_shared},
    {"socket-exec", "run a program from the socket's directory", run_exchange},
    {"metadata", "a cloud's metadata address", metadata},
    {"internet", "an address of the internet", internet},
    {"bridge", "the machine, over Docker's bridge", gateway},
    {"loopback", "the machine's loopback", host_loopback},
    {"abstract-socket", "an abstract Unix socket of the machine", abstract_socket},
    {"fork-bomb", "2,000 processes", fork_bomb},
    {"memory-bomb", "1 GiB of memory", memory_bomb},
    {"mlock", "256 MiB of locked memory", lock_memory},
    {"fill-root", "512 MiB on the root", fill_root},
    {"fill-tmp", "512 MiB in /tmp", fill_scratch},
    {"fill-shm", "512 MiB in /dev/shm", fill_shared},
    {"fill-socket", "1 MiB in the socket's directory", fill_exchange},
    {"files-socket", "1,000 files in the socket's directory", files_exchange},
    {"files-tmp", "100,000 files in /tmp", files_scratch},
    {"open-files", "100,000 open files", open_files},
    {"core-limit", "raise the limit of cores", core_dump},
    {"priority", "a higher priority (nice -10)", more_priority},
    {"real-time", "real-time priority", real_time},
    /* The last one: the memory stays taken when whoever took it is ended, until all is. */
    {"shm-segments", "1 GiB of System V shared memory", shared_segments},
};

static int serve(void) {
    const char *path = getenv("SYNAPSE_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    static const char answer[] = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    if (!path) return 1;
    strncpy(at.sun_path, path, sizeof at.sun_path - 1);
    int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(door, (struct sockaddr *)&at, sizeof at) != 0 || listen(door, 16) != 0) {
        perror("probe cannot listen");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    for (;;) {
        char request[4096];
        int guest = accept(door, NULL, NULL);
        if (guest >= 0 && read(guest, request, sizeof request) > 0 && write(guest, answer, sizeof answer - 1) < 0) perror("write");
        close(guest);
    }
}

int main(int count, char **words) {
    const char *name = count > 1 ? words[1] : "list";
    if (!strcmp(name, "serve")) return serve();
    if (!strcmp(name, "work")) for (volatile unsigned long done = 0;; done++) continue;
    if (!strcmp(name, "am-i-here")) return 0;
    if (!strcmp(name, "am-i-root")) return !am_i_root();
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        if (!strcmp(name, "list")) printf("%s\t%s\n", attempts[i].name, attempts[i].what);
        if (strcmp(name, attempts[i].name)) continue;
        int succeeded = attempts[i].make();
        printf("%s %s\n", succeeded ? "success" : "refused", said);
        return 0;
    }
    return !!strcmp(name, "list");
}
