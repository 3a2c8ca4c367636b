// An OpenCL driver with one platform and one device. The name of its library says what it does
// wrong: libexits-at-listing.so, libaborts-in-build.so and so on.

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

const int kInvalidValue = -30, kDeviceNotFound = -1, kBuildFailure = -11;

// Calls in the order of the table that OpenCL's loader reads.
enum Call { kGetPlatformInfo = 1, kGetDeviceIds = 2, kGetDeviceInfo = 3, kCreateContext = 4,
            kGetContextInfo = 8, kCreateQueue = 9, kGetQueueInfo = 12, kCreateBuffer = 14,
            kCreateProgram = 26, kBuild = 30, kGetProgramInfo = 32, kGetBuildInfo = 33,
            kCalls = 160 };

struct Object { void* const* calls; };

void* table[kCalls];
Object platform{table}, device{table}, other{table};

// The name of this library, without its folder.
const char* own_name() {
    static Dl_info info;
    dladdr(reinterpret_cast<void*>(&own_name), &info);
    return strrchr(info.dli_fname, '/') + 1;
}

bool is(const char* what) { return strstr(own_name(), what) != nullptr; }

int answer(const void* data, size_t bytes, size_t room, void* out, size_t* needed) {
    if (needed) *needed = bytes;
    if (out && room < bytes) return kInvalidValue;
    if (out) memcpy(out, data, bytes);
    return 0;
}

int text(const char* words, size_t room, void* out, size_t* needed) {
    return answer(words, strlen(words) + 1, room, out, needed);
}

const char* platform_name() {
    if (is("rusticl")) return "rusticl";
    return is("clover") ? "Clover" : "Fake OpenCL";
}

int platform_info(void*, unsigned what, size_t room, void* out, size_t* needed) {
    switch (what) {
        case 0x0900: return text("FULL_PROFILE", room, out, needed);
        case 0x0901: return text("OpenCL 1.2 fake", room, out, needed);
        case 0x0902: return text(platform_name(), room, out, needed);
        case 0x0903: return text("Fake", room, out, needed);
        case 0x0904: return text("cl_khr_icd", room, out, needed);
        case 0x0920: return text("FAKE", room, out, needed);
        default: return kInvalidValue;
    }
}

int device_ids(void*, uint64_t, unsigned room, void** out, unsigned* count) {
    if (is("without-devices")) return kDeviceNotFound;
    if (count) *count = 1;
    if (out && room) *out = &device;
    return 0;
}

int device_info(void*, unsigned what, size_t room, void* out, size_t* needed) {
    uint64_t gpu = 4, memory = uint64_t{8} << 30, local = 65536;
    size_t group = 1024;
    unsigned units = 36, yes = 1;
    void* owner = &platform;
    switch (what) {
        case 0x1000: return answer(&gpu, sizeof gpu, room, out, needed);
        case 0x1002: return answer(&units, sizeof units, room, out, needed);
        case 0x1004: return answer(&group, sizeof group, room, out, needed);
        case 0x1010: case 0x101F: return answer(&memory, sizeof memory, room, out, needed);
        case 0x1023: return answer(&local, sizeof local, room, out, needed);
        case 0x1027: case 0x1028: case 0x1035: return answer(&yes, sizeof yes, room, out, needed);
        case 0x102B: {
            char words[200];
            snprintf(words, sizeof words, "Radeon RX 580 (%s)", own_name());
            return text(words, room, out, needed);
        }
        case 0x102C: return text("AMD", room, out, needed);
        case 0x102D: return text("1.0", room, out, needed);
        case 0x102F: return text("OpenCL 1.2 fake", room, out, needed);
        case 0x1030: return text("", room, out, needed);
        case 0x1031: return answer(&owner, sizeof owner, room, out, needed);
        case 0x103D:
            return text(is("opencl-c-1.1") ? "OpenCL C 1.1 " : "OpenCL C 1.2 ", room, out, needed);
        default: return kInvalidValue;
    }
}

void* create_context(const void*, unsigned, void*, void*, void*, int* code) {
    if (code) *code = 0;
    return &other;
}
int object_info(void*, unsigned what, size_t room, void* out, size_t* needed) {
    void *devices = &device, *context = &other;
    unsigned one = 1;
    switch (what) {
        case 0x1090: return answer(&context, sizeof context, room, out, needed);
        case 0x1081: case 0x1163: return answer(&devices, sizeof devices, room, out, needed);
        case 0x1080: case 0x1083: case 0x1160: case 0x1162: return answer(&one, sizeof one, room, out, needed);
        default: return kInvalidValue;
    }
}

void* create_queue(void*, void*, uint64_t, int* code) {
    if (code) *code = 0;
    return &other;
}
void* create_buffer(void*, uint64_t, size_t, void*, int* code) {
    if (code) *code = 0;
    return &other;
}
void* create_program(void*, unsigned, const char**, const size_t*, int* code) {
    if (code) *code = 0;
    return &other;
}

// A process that keeps the pipes to the miner open until the miner closes them.
void start_daemon() {
    if (fork() != 0) return;
    setsid();
    pollfd reader{2, 0, 0};
    poll(&reader, 1, 60000);
    _exit(0);
}

void change_process() {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_FSIZE, &none);
    setrlimit(RLIMIT_NOFILE, &none);
    setlocale(LC_ALL, "");
    umask(0777);
    if (chdir("/")) perror("chdir");
    const int signals[] = {SIGINT, SIGTERM, SIGCHLD, SIGPIPE};
    for (int number : signals) signal(number, SIG_IGN);
    for (int stream = 0; stream < 3; ++stream) close(stream);
}

int build(void*, unsigned, void*, const char*, void*, void*) {
    if (is("daemon")) start_daemon();
    if (is("aborts-in-build")) {
        fputs("LLVM ERROR: cannot\x1b[31m select\nfake driver: stack dump follows\n\n", stderr);
        abort();
    }
    if (is("aborts-in-thread")) {
        pthread_t thread;
        pthread_create(&thread, nullptr, [](void*) -> void* { abort(); }, nullptr);
        pthread_join(thread, nullptr);
    }
    if (is("floods-in-build")) {
        static char megabyte[1 << 20];
        for (int i = 0; i < 100; ++i) fwrite(megabyte, 1, sizeof megabyte, stderr);
        fputs("\nfake driver: half of a euro sign: \xe2\x82", stderr);
        _exit(6);
    }
    if (is("kills-its-group")) kill(0, SIGTERM);
    if (is("exits-in-build")) _exit(8);
    if (is("changes-process")) change_process();
    for (int other = 3; is("closes-files") && other < 1024; ++other) close(other);
    if (is("stops-in-build")) raise(SIGSTOP);
    while (is("hangs-in-build")) pause();
    return kBuildFailure;
}

int build_info(void*, void*, unsigned what, size_t room, void* out, size_t* needed) {
    return what == 0x1183 ? text("a log", room, out, needed) : kInvalidValue;
}

int ok() { return 0; }

}  // namespace

EXPORT int clIcdGetPlatformIDsKHR(unsigned room, void** out, unsigned* count) {
    if (is("exits-at-listing")) {
        fputs("fake driver: no card\n", stderr);
        exit(9);
    }
    if (is("aborts-at-listing")) abort();
    if (is("exits-at-exit")) atexit([] { _exit(7); });
    if (is("prints")) {
        for (int i = 0; i < 20000; ++i) {
            printf("{\"devices\": %d}\n", i);
            fprintf(stderr, "warning \xff\x01 %d\n", i);
        }
        fflush(stdout);
    }
    for (void*& call : table) call = reinterpret_cast<void*>(ok);
    table[kGetPlatformInfo] = reinterpret_cast<void*>(platform_info);
    table[kGetDeviceIds] = reinterpret_cast<void*>(device_ids);
    table[kGetDeviceInfo] = reinterpret_cast<void*>(device_info);
    table[kCreateContext] = reinterpret_cast<void*>(create_context);
    table[kGetContextInfo] = reinterpret_cast<void*>(object_info);
    table[kCreateQueue] = reinterpret_cast<void*>(create_queue);
    table[kGetQueueInfo] = reinterpret_cast<void*>(object_info);
    table[kCreateBuffer] = reinterpret_cast<void*>(create_buffer);
    table[kCreateProgram] = reinterpret_cast<void*>(create_program);
    table[kGetProgramInfo] = reinterpret_cast<void*>(object_info);
    table[kGetBuildInfo] = reinterpret_cast<void*>(build_info);
    table[kBuild] = reinterpret_cast<void*>(build);
    if (count) *count = 1;
    if (out && room) *out = &platform;
    return 0;
}

EXPORT int clGetPlatformInfo(void* which, unsigned what, size_t room, void* out, size_t* needed) {
    return platform_info(which, what, room, out, needed);
}

EXPORT void* clGetExtensionFunctionAddress(const char* name) {
    if (!strcmp(name, "clIcdGetPlatformIDsKHR")) {
        return reinterpret_cast<void*>(clIcdGetPlatformIDsKHR);
    }
    if (!strcmp(name, "clGetPlatformInfo")) return reinterpret_cast<void*>(clGetPlatformInfo);
    return nullptr;
}
