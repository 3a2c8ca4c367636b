/* A fake of NVIDIA's driver: libcuda.so.1 on host memory, to test PyCUDA without a card.

   Work queued on a stream runs when it is waited for, not before. So without a wait there is no
   result, and memory reused too early gives wrong results. A module is a library compiled by
   tests/harness/build.py after a header with its architecture.

   FAKE_CUDA_DEVICES  "model,8.6,MiB,0000:01:00.0,32 hex digits;…"
   FAKE_CUDA_VERSION  12040 for 12.4
   FAKE_CUDA_LARGEST  bytes that one allocation may have at most
   FAKE_CUDA_PARTS    anything: each card is a part of a divided one */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

typedef int result;
typedef uint64_t pointer;

namespace {
enum : result {
    success = 0, invalid_value = 1, out_of_memory = 2, not_initialized = 3, no_device = 100,
    invalid_device = 101, invalid_image = 200, invalid_context = 201, no_binary = 209,
    invalid_handle = 400, not_found = 500, not_ready = 600, illegal_address = 700,
    not_supported = 801,
};

struct code {
    result number;
    const char *name, *text;
};
const code codes[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

struct card {
    std::string name, pci;
    int major, minor;
    size_t memory, used = 0;
    unsigned char uuid[16];
};

struct context;
struct stream {
    stream(context *c, bool waits) : owner(c), waits_for_default(waits) {}
    context *owner;
    bool waits_for_default;
    std::deque<std::function<result()>> queue;
    uint64_t queued = 0, done = 0;
};
struct event {
    context *owner;
    stream *where = nullptr;
    uint64_t place = 0;
};
struct module {
    context *owner;
    void *library;
    unsigned in_flight = 0;
};
struct function {
    module *owner;
    std::string name;
    unsigned allowed = 48 << 10; /* bytes of shared memory that a launch may give */
};
struct context {
    context(int card, unsigned given) : device(card), flags(given) {}
    int device;
    unsigned flags;
    result broken = success;
    stream own{this, true};
    std::map<pointer, size_t> memory, pinned;
    std::set<pointer> mapped; /* pinned memory that the card may be given an address of */
    std::set<stream *> streams;
    std::set<event *> events;
    std::set<module *> modules;
    std::vector<function *> functions;
};

std::recursive_mutex lock;
std::vector<card> cards;
bool started;
std::set<context *> contexts;
thread_local std::vector<context *> current;
std::map<std::string, uint64_t> counted;
struct fault {
    int after, times;
    result code;
};
std::map<std::string, fault> faults;

bool lasts(result code)
{
    return code == 46 || code == 214 || (code >= 700 && code < 720) || code == 999;
}

/* Counts a call of `name`; returns the fault that a test set for it. */
result due(const char *name)
{
    counted[name]++;
    auto found = faults.find(name);
    if (found == faults.end() || found->second.after-- > 0)
        return success;
    const result code = found->second.code;
    if (--found->second.times <= 0)
        faults.erase(found);
    return code;
}

struct call {
    std::lock_guard<std::recursive_mutex> guard{lock};
    context *here = current.empty() ? nullptr : current.back();
    result failed;

    explicit call(const char *name, bool needs_context = true)
    {
        failed = due(name);
        if (!started)
            failed = not_initialized;
        if (!needs_context)
            return;
        if (!here || !contexts.count(here))
            failed = invalid_context;
        else if (here->broken)
            failed = here->broken;
        else if (lasts(failed))
            here->broken = failed;
    }
};
#define ENTER(name)                                                                             \
    call c(#name);                                                                              \
    if (c.failed)                                                                               \
    return c.failed
#define ENTER_WITHOUT(name)                                                                     \
    call c(#name, false);                                                                       \
    if (c.failed)                                                                               \
    return c.failed

result run(stream *s, uint64_t until)
{
    while (s->done < until) {
        if (s->owner->broken)
            return s->owner->broken;
        auto next = std::move(s->queue.front());
        s->queue.pop_front();
        s->done++;
        if (result failed = next())
            return s->owner->broken = failed;
    }
    return s->owner->broken;
}

result run_all(context *c, bool those_apart = true)
{
    result failed = run(&c->own, c->own.queued);
    for (stream *s : c->streams)
        if (!failed && (those_apart || s->waits_for_default))
            failed = run(s, s->queued);
    return failed;
}

void add(stream *s, std::function<result()> what)
{
    s->queue.push_back(std::move(what));
    s->queued++;
}

stream *stream_of(context *c, void *given)
{
    return given ? static_cast<stream *>(given) : &c->own;
}

bool within(const std::map<pointer, size_t> &blocks, pointer p, size_t bytes)
{
    auto after = blocks.upper_bound(p);
    if (after == blocks.begin())
        return false;
    --after;
    return p + bytes <= after->first + after->second;
}

size_t taken(context *c)
{
    size_t sum = 0;
    for (auto &block : c->memory)
        sum += block.second;
    return sum;
}

result unload(context *c, module *m)
{
    if (m->in_flight)
        counted["unloaded in flight"]++;
    dlclose(m->library);
    c->modules.erase(m);
    delete m;
    return success;
}

void destroy(context *c)
{
    for (module *m : std::set<module *>(c->modules)) {
        m->in_flight = 0;
        unload(c, m);
    }
    for (auto &block : c->memory)
        free(reinterpret_cast<void *>(block.first));
    for (auto &block : c->pinned)
        free(reinterpret_cast<void *>(block.first));
    cards[c->device].used -= taken(c);
    for (stream *s : c->streams)
        delete s;
    for (event *e : c->events)
        delete e;
    for (function *f : c->functions)
        delete f;
    contexts.erase(c);
    current.erase(std::remove(current.begin(), current.end(), c), current.end());
    delete c;
}

std::string setting(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value ? value : fallback;
}

std::vector<std::string> parts(const std::string &text, char between)
{
    std::vector<std::string> found;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, between);)
        found.push_back(part);
    return found;
}

std::string uuid_text(const card &c)
{
    std::string text = "GPU-";
    char digits[3];
    for (int i = 0; i < 16; i++) {
        snprintf(digits, sizeof digits, "%02x", c.uuid[i]);
        text += digits;
        if (i == 3 || i == 5 || i == 7 || i == 9)
            text += "-";
    }
    return text;
}

void find_cards()
{
    std::vector<card> all;
    const char *one = "NVIDIA Fake 3080,8.6,64,0000:01:00.0,00112233445566778899aabbccddeeff";
    for (auto &row : parts(setting("FAKE_CUDA_DEVICES", one), ';')) {
        auto fields = parts(row, ',');
        card c;
        c.name = fields.at(0);
        sscanf(fields.at(1).c_str(), "%d.%d", &c.major, &c.minor);
        c.memory = strtoull(fields.at(2).c_str(), nullptr, 10) << 20;
        c.pci = fields.at(3);
        for (int i = 0; i < 16; i++)
            c.uuid[i] = strtoul(fields.at(4).substr(2 * i, 2).c_str(), nullptr, 16);
        all.push_back(c);
    }
    if (setting("CUDA_DEVICE_ORDER", "FASTEST_FIRST") == "PCI_BUS_ID")
        std::stable_sort(all.begin(), all.end(),
                         [](const card &a, const card &b) { return a.pci < b.pci; });
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!visible) {
        cards = all;
        return;
    }
    for (auto &name : parts(visible, ',')) {
        const card *chosen = nullptr;
        if (name.rfind("GPU-", 0) == 0) {
            for (auto &c : all)
                if (uuid_text(c).rfind(name, 0) == 0)
                    chosen = &c;
        } else if (size_t(atoi(name.c_str())) < all.size() && atoi(name.c_str()) >= 0) {
            chosen = &all[atoi(name.c_str())];
        }
        if (!chosen)
            break;
        cards.push_back(*chosen);
    }
}
} // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

/* The calls of tests. */
EXPORT void fake_cuda_fail(const char *name, result code, int after, int times)
{
    std::lock_guard<std::recursive_mutex> guard(lock);
    faults[name] = {after, times, code};
}

EXPORT uint64_t fake_cuda_count(const char *name)
{
    std::lock_guard<std::recursive_mutex> guard(lock);
    const std::string what = name;
    uint64_t sum = 0;
    if (what == "contexts")
        return contexts.size();
    for (context *c : contexts) {
        sum += what == "modules" ? c->modules.size()
             : what == "bytes" ? taken(c)
             : what == "allocations" ? c->memory.size()
             : what == "pinned" ? c->pinned.size()
             : what == "streams" ? c->streams.size()
             : what == "events" ? c->events.size()
             : 0;
    }
    static const std::set<std::string> live = {"modules", "bytes", "allocations", "pinned",
                                               "streams", "events"};
    return live.count(what) ? sum : counted[what];
}

/* The driver's functions. */
EXPORT result cuDriverGetVersion(int *version)
{
    *version = atoi(setting("FAKE_CUDA_VERSION", "12040").c_str());
    return success;
}

EXPORT result cuGetErrorString(result number, const char **text)
{
    for (auto &c : codes)
        if (c.number == number)
            return *text = c.text, success;
    return *text = "unrecognized error code", invalid_value;
}

EXPORT result cuGetErrorName(result number, const char **name)
{
    for (auto &c : codes)
        if (c.number == number)
            return *name = c.name, success;
    return *name = nullptr, invalid_value;
}

EXPORT result cuInit(unsigned)
{
    std::lock_guard<std::recursive_mutex> guard(lock);
    if (result failed = due("cuInit"))
        return failed;
    if (!started)
        find_cards();
    started = !cards.empty();
    return started ? success : no_device;
}

#ifndef OLD_DRIVER
EXPORT result cuDeviceGetCount(int *count)
{
    ENTER_WITHOUT(cuDeviceGetCount);
    *count = int(cards.size());
    return success;
}

EXPORT result cuDeviceGet(int *device, int ordinal)
{
    ENTER_WITHOUT(cuDeviceGet);
    if (ordinal < 0 || size_t(ordinal) >= cards.size())
        return invalid_device;
    *device = ordinal;
    return success;
}

EXPORT result cuDeviceGetName(char *name, int length, int device)
{
    snprintf(name, length, "%s", cards.at(device).name.c_str());
    return success;
}

EXPORT result cuDeviceGetPCIBusId(char *name, int length, int device)
{
    snprintf(name, length, "%s", cards.at(device).pci.c_str());
    return success;
}

EXPORT result cuDeviceGetUuid(unsigned char *uuid, int device)
{
    memcpy(uuid, cards.at(device).uuid, 16);
    return success;
}

EXPORT result cuDeviceGetUuid_v2(unsigned char *uuid, int device)
{
    cuDeviceGetUuid(uuid, device);
    if (!setting("FAKE_CUDA_PARTS", "").empty())
        uuid[15] ^= 0xff;
    return success;
}

EXPORT result cuDeviceComputeCapability(int *major, int *minor, int device)
{
    *major = cards.at(device).major;
    *minor = cards.at(device).minor;
    return success;
}

EXPORT result cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    *bytes = cards.at(device).memory;
    return success;
}

/* Bytes that a group may have, if a function allows it. */
static unsigned shared_limit(int device)
{
    const card &of = cards.at(device);
    return of.major == 9 ? 227 << 10 : of.major >= 8 ? 99 << 10 : 48 << 10;
}

EXPORT result cuDeviceGetAttribute(int *value, int attribute, int device)
{
    /* 16: multiprocessors, 20: compute mode, 97: shared memory of a group */
    *value = attribute == 16   ? 68
             : attribute == 20 ? atoi(setting("FAKE_CUDA_MODE", "0").c_str())
             : attribute == 97 ? shared_limit(device)
                               : 0;
    return success;
}

EXPORT result cuCtxCreate_v2(context **made, unsigned flags, int device)
{
    ENTER_WITHOUT(cuCtxCreate);
    *made = new context(device, flags);
    contexts.insert(*made);
    current.push_back(*made);
    return success;
}

EXPORT result cuCtxPushCurrent_v2(context *pushed)
{
    ENTER_WITHOUT(cuCtxPushCurrent);
    if (!contexts.count(pushed))
        return invalid_context;
    if (pushed->broken)
        return pushed->broken;
    current.push_back(pushed);
    return success;
}

EXPORT result cuCtxPopCurrent_v2(context **popped)
{
    ENTER_WITHOUT(cuCtxPopCurrent);
    if (current.empty())
        return invalid_context;
    *popped = current.back();
    current.pop_back();
    return success;
}

EXPORT result cuCtxDetach(context *detached)
{
    ENTER_WITHOUT(cuCtxDetach);
    if (!contexts.count(detached))
        return invalid_context;
    const result broken = detached->broken;
    destroy(detached);
    return broken;
}

EXPORT result cuCtxGetDevice(int *device)
{
    ENTER(cuCtxGetDevice);
    *device = c.here->device;
    return success;
}

EXPORT result cuCtxSynchronize()
{
    ENTER(cuCtxSynchronize);
    return run_all(c.here);
}

EXPORT result cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER(cuMemGetInfo);
    const card &card = cards[c.here->device];
    *total = card.memory;
    *free_bytes = card.memory - card.used;
    return success;
}

EXPORT result cuMemAlloc_v2(pointer *made, size_t bytes)
{
    ENTER(cuMemAlloc);
    card &card = cards[c.here->device];
    if (!bytes)
        return invalid_value;
    const size_t largest = strtoull(setting("FAKE_CUDA_LARGEST", "0").c_str(), nullptr, 10);
    if (card.used + bytes > card.memory || (largest && bytes > largest))
        return out_of_memory;
    void *block = aligned_alloc(256, (bytes + 255) / 256 * 256);
    memset(block, 0xA5, bytes);
    *made = reinterpret_cast<pointer>(block);
    c.here->memory[*made] = bytes;
    card.used += bytes;
    return success;
}

EXPORT result cuMemFree_v2(pointer freed)
{
    ENTER(cuMemFree);
    auto found = c.here->memory.find(freed);
    if (found == c.here->memory.end())
        return invalid_value;
    if (result failed = run_all(c.here))
        return failed;
    cards[c.here->device].used -= found->second;
    c.here->memory.erase(found);
    free(reinterpret_cast<void *>(freed));
    return success;
}

EXPORT result cuMemHostAlloc(void **made, size_t bytes, unsigned flags)
{
    ENTER(cuMemHostAlloc);
    *made = calloc(1, bytes);
    c.here->pinned[reinterpret_cast<pointer>(*made)] = bytes;
    if (c.here->flags & 8 && flags & 2) /* CU_CTX_MAP_HOST, CU_MEMHOSTALLOC_DEVICEMAP */
        c.here->mapped.insert(reinterpret_cast<pointer>(*made));
    return success;
}

EXPORT result cuMemHostGetDevicePointer_v2(pointer *made, void *host, unsigned)
{
    ENTER(cuMemHostGetDevicePointer);
    *made = reinterpret_cast<pointer>(host);
    return c.here->mapped.count(*made) ? success : invalid_value;
}

EXPORT result cuMemFreeHost(void *freed)
{
    ENTER(cuMemFreeHost);
    if (!c.here->pinned.erase(reinterpret_cast<pointer>(freed)))
        return invalid_value;
    c.here->mapped.erase(reinterpret_cast<pointer>(freed));
    if (result failed = run_all(c.here))
        return failed;
    free(freed);
    return success;
}

EXPORT result cuMemcpyHtoDAsync_v2(pointer to, const void *from, size_t bytes, void *given)
{
    ENTER(cuMemcpyHtoDAsync);
    if (!within(c.here->memory, to, bytes))
        return invalid_value;
    if (within(c.here->pinned, reinterpret_cast<pointer>(from), bytes)) {
        add(stream_of(c.here, given), [=] {
            memcpy(reinterpret_cast<void *>(to), from, bytes);
            return success;
        });
        return success;
    }
    const std::string staged(static_cast<const char *>(from), bytes);
    add(stream_of(c.here, given), [=] {
        memcpy(reinterpret_cast<void *>(to), staged.data(), bytes);
        return success;
    });
    return success;
}

EXPORT result cuMemcpyDtoHAsync_v2(void *to, pointer from, size_t bytes, void *given)
{
    ENTER(cuMemcpyDtoHAsync);
    if (!within(c.here->memory, from, bytes))
        return invalid_value;
    stream *s = stream_of(c.here, given);
    add(s, [=] {
        memcpy(to, reinterpret_cast<void *>(from), bytes);
        return success;
    });
    return within(c.here->pinned, reinterpret_cast<pointer>(to), bytes) ? success : run(s, s->queued);
}

EXPORT result cuMemsetD32Async(pointer to, unsigned value, size_t count, void *given)
{
    ENTER(cuMemsetD32Async);
    if (!within(c.here->memory, to, count * 4))
        return invalid_value;
    add(stream_of(c.here, given), [=] {
        std::fill_n(reinterpret_cast<unsigned *>(to), count, value);
        return success;
    });
    return success;
}

EXPORT result cuStreamCreate(stream **made, unsigned flags)
{
    ENTER(cuStreamCreate);
    *made = new stream(c.here, !(flags & 1));
    c.here->streams.insert(*made);
    return success;
}

EXPORT result cuStreamDestroy_v2(stream *s)
{
    ENTER(cuStreamDestroy);
    if (!c.here->streams.count(s))
        return invalid_handle;
    result failed = run(s, s->queued);
    c.here->streams.erase(s);
    delete s;
    return failed;
}

EXPORT result cuStreamSynchronize(stream *s)
{
    ENTER(cuStreamSynchronize);
    if (s && !c.here->streams.count(s))
        return invalid_handle;
    s = stream_of(c.here, s);
    return run(s, s->queued);
}

EXPORT result cuEventCreate(event **made, unsigned)
{
    ENTER(cuEventCreate);
    *made = new event{c.here};
    c.here->events.insert(*made);
    return success;
}

EXPORT result cuEventDestroy_v2(event *e)
{
    ENTER(cuEventDestroy);
    if (!c.here->events.erase(e))
        return invalid_handle;
    delete e;
    return success;
}

EXPORT result cuEventRecord(event *e, void *given)
{
    ENTER(cuEventRecord);
    if (!c.here->events.count(e))
        return invalid_handle;
    e->where = stream_of(c.here, given);
    e->place = e->where->queued;
    return success;
}

EXPORT result cuEventSynchronize(event *e)
{
    ENTER(cuEventSynchronize);
    if (!c.here->events.count(e))
        return invalid_handle;
    return e->where ? run(e->where, e->place) : success;
}

EXPORT result cuModuleLoadDataEx(module **made, const void *image, unsigned count,
                                 const int *options, void **values)
{
    ENTER(cuModuleLoadDataEx);
    for (unsigned i = 0; i < count; i++)
        if (options[i] == 4 || options[i] == 6) /* sizes of the logs */
            values[i] = nullptr;
    struct {
        char kind[8];
        uint32_t architecture, unused;
        uint64_t bytes;
    } head;
    memcpy(&head, image, sizeof head);
    const card &card = cards[c.here->device];
    const unsigned own = card.major * 10 + card.minor;
    if (!memcmp(head.kind, "PLAYPTX", 8)) {
        if (head.architecture > own)
            return 218;
        counted["compiled by the driver"]++;
    } else if (!memcmp(head.kind, "PLAYBIN", 8)) {
        if (head.architecture / 10 != own / 10 || head.architecture > own)
            return no_binary;
    } else {
        return invalid_image;
    }
    char path[] = "/tmp/fake-module-XXXXXX";
    const int file = mkstemp(path);
    const char *bytes = static_cast<const char *>(image) + sizeof head;
    const bool written = write(file, bytes, head.bytes) == ssize_t(head.bytes);
    close(file);
    void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
    unlink(path);
    if (!library)
        return invalid_image;
    *made = new module{c.here, library};
    c.here->modules.insert(*made);
    return success;
}

EXPORT result cuModuleUnload(module *m)
{
    ENTER(cuModuleUnload);
    return c.here->modules.count(m) ? unload(c.here, m) : invalid_handle;
}

EXPORT result cuModuleGetFunction(function **made, module *m, const char *name)
{
    ENTER(cuModuleGetFunction);
    if (!c.here->modules.count(m))
        return invalid_handle;
    if (!dlsym(m->library, ("run_" + std::string(name)).c_str()))
        return not_found;
    *made = new function{m, name};
    c.here->functions.push_back(*made);
    return success;
}

/* Of the old API for launches; PyCUDA still calls it. */
EXPORT result cuFuncSetBlockShape(function *, int, int, int)
{
    ENTER(cuFuncSetBlockShape);
    return success;
}

EXPORT result cuFuncSetAttribute(function *f, int attribute, int value)
{
    ENTER(cuFuncSetAttribute);
    if (attribute != 8 || value < 0 || unsigned(value) > shared_limit(c.here->device))
        return invalid_value;
    f->allowed = value;
    return success;
}

/* PyCUDA passes all arguments as one block of bytes: extra is {1, block, 2, &size, 0}. */
EXPORT result cuLaunchKernel(function *f, unsigned groups, unsigned gy, unsigned gz,
                             unsigned threads, unsigned by, unsigned bz,
                             unsigned shared_bytes, void *given, void **, void **extra)
{
    ENTER(cuLaunchKernel);
    if (!c.here->modules.count(f->owner) || gy * gz * by * bz != 1 || !extra)
        return invalid_handle;
    const char *block = nullptr;
    size_t bytes = 0;
    for (; *extra; extra += 2) {
        if (*extra == reinterpret_cast<void *>(1))
            block = static_cast<const char *>(extra[1]);
        if (*extra == reinterpret_cast<void *>(2))
            bytes = *static_cast<size_t *>(extra[1]);
    }
    module *m = f->owner;
    const auto of_text = [m](const char *what) {
        return reinterpret_cast<unsigned (*)()>(dlsym(m->library, what))();
    };
    if (threads != of_text("threads") || shared_bytes != of_text("dynamic_bytes") ||
        shared_bytes > f->allowed)
        return invalid_value;
    const std::string arguments(block, bytes), name = f->name;
    context *here = c.here;
    m->in_flight++;
    add(stream_of(here, given), [=] {
        if (here->modules.count(m))
            m->in_flight--;
        if (result failed = due("kernel"))
            return failed;
        void *found = dlsym(m->library, ("run_" + name).c_str());
        uint64_t words[22] = {}; // 16 buffers and 6 more
        memcpy(words, arguments.data(), std::min(arguments.size(), sizeof words));
        result failed;
        if (name == "dataset") {
            uint32_t numbers[3];
            memcpy(numbers, words + 2, sizeof numbers);
            const uint64_t last = uint64_t(numbers[0]) + numbers[1] - numbers[2];
            if (!within(here->memory, words[0], 64) || !within(here->memory, words[1], last * 64))
                return result(illegal_address);
            failed = reinterpret_cast<result (*)(uint64_t, uint64_t, uint32_t, uint32_t, uint32_t,
                                                 unsigned)>(found)(
                words[0], words[1], numbers[0], numbers[1], numbers[2], groups);
        } else {
            const size_t buffers = (arguments.size() + 4) / 8 - 6;
            for (size_t i = 0; i <= buffers; i++)
                if (!within(here->memory, words[i], 32))
                    return result(illegal_address);
            const uint64_t *rest = words + buffers;
            if (!within(here->memory, rest[3], 16400))
                return result(illegal_address);
            if (!within(here->pinned, rest[4], 4))
                return result(illegal_address);
            failed = reinterpret_cast<result (*)(const uint64_t *, uint64_t, uint64_t, uint64_t,
                                                 uint64_t, uint64_t, uint32_t, unsigned)>(found)(
                words, rest[0], rest[1], rest[2], rest[3], rest[4], uint32_t(rest[5]), groups);
        }
        return failed ? result(illegal_address) : result(success);
    });
    return success;
}

/* Functions that PyCUDA's extension imports, but the miner never calls. */
#define MISSING(name)                                                                           \
    EXPORT result name()                                                                        \
    {                                                                                           \
        return not_supported;                                                                   \
    }
#include "fake_cuda_missing.h"
#endif
