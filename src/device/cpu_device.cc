#include "device/cpu_device.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <sched.h>
#include <sys/mman.h>

#include "base/checked.h"

namespace tutti {

namespace {

constexpr int64_t kMapThreshold = int64_t{1} << 22;  // from 4 MiB on, two huge pages and more
constexpr size_t kAlignment = 128;

class CpuStream final : public Stream {
 public:
  Status synchronize() override { return ok_status(); }
};

class CpuTimer final : public Timer {
 public:
  Status start(Stream&) override {
    start_ = std::chrono::steady_clock::now();
    return ok_status();
  }

  Status stop(Stream&) override {
    stop_ = std::chrono::steady_clock::now();
    return ok_status();
  }

  Result<double> seconds() override {
    return std::chrono::duration<double>(stop_ - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point stop_;
};

class CpuFence final : public Fence {
 public:
  Status record(Stream&) override { return ok_status(); }

  Status wait() override { return ok_status(); }
};

class CpuPieceWriter final : public PieceWriter {
 public:
  Status write(std::byte* to, int64_t begin, int64_t end, const FillFunction& fill) override {
    return fill(begin, end, to + begin);
  }
};

// A line "MemAvailable:  1234 kB" of /proc/meminfo, in bytes; -1 if it is not there.
int64_t meminfo(const std::string& key) {
  std::ifstream in("/proc/meminfo");
  std::string name;
  int64_t kib = 0;
  std::string rest;
  while (in >> name >> kib && std::getline(in, rest)) {
    if (name == key + ":") {
      return kib * 1024;
    }
  }
  return -1;
}

// First number of a one-line file ("max" and absence give -1).
int64_t number_in(const char* path) {
  std::ifstream in(path);
  int64_t value = -1;
  return in >> value ? value : -1;
}

}  // namespace

int64_t CpuDevice::total_bytes() const {
  const int64_t machine = meminfo("MemTotal");
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max");
  return limit > 0 ? std::min(limit, machine) : machine;
}

int64_t CpuDevice::free_bytes() const {
  const int64_t machine = meminfo("MemAvailable");
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max");
  const int64_t used = number_in("/sys/fs/cgroup/memory.current");
  return limit > 0 && used >= 0 ? std::min(limit - used, machine) : machine;
}

void* CpuDevice::allocate(int64_t bytes) {
  if (bytes < kMapThreshold) {
    const size_t rounded = (usize(bytes) + kAlignment - 1) / kAlignment * kAlignment;
    return std::aligned_alloc(kAlignment, rounded);
  }
  void* data = mmap(nullptr,
                    usize(bytes),
                    PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1,
                    0);
  if (data == MAP_FAILED) {
    return nullptr;
  }
  madvise(data, usize(bytes), MADV_HUGEPAGE);  // advice only: failure costs speed, not correctness
  return data;
}

void CpuDevice::deallocate(void* data, int64_t bytes) {
  if (bytes < kMapThreshold) {
    std::free(data);
  } else {
    munmap(data, usize(bytes));
  }
}

Status CpuDevice::copy_from_host(void* to, const void* from, int64_t bytes, Stream&) {
  if (bytes > 0) {  // of nothing, the addresses may be null
    std::memcpy(to, from, usize(bytes));
  }
  return ok_status();
}

Status CpuDevice::copy_to_host(void* to, const void* from, int64_t bytes, Stream&) {
  if (bytes > 0) {  // of nothing, the addresses may be null
    std::memcpy(to, from, usize(bytes));
  }
  return ok_status();
}

Result<std::unique_ptr<PieceWriter>> CpuDevice::new_piece_writer(Stream&, int64_t) {
  return std::unique_ptr<PieceWriter>(std::make_unique<CpuPieceWriter>());
}

std::unique_ptr<Stream> CpuDevice::new_stream() {
  return std::make_unique<CpuStream>();
}

std::unique_ptr<Fence> CpuDevice::new_fence() {
  return std::make_unique<CpuFence>();
}

std::unique_ptr<Timer> CpuDevice::new_timer() {
  return std::make_unique<CpuTimer>();
}

Status CpuDevice::pause(Stream&, double) {
  return ok_status();
}

void* CpuDevice::allocate_host(int64_t bytes) {
  return std::malloc(usize(bytes));
}

void CpuDevice::deallocate_host(void* data) {
  std::free(data);
}

Result<std::unique_ptr<Graph>> CpuDevice::record(Stream&, const std::function<Status()>&) {
  return error(StatusCode::kUnsupported, "the CPU runs operations at once and records none");
}

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  std::ifstream in("/sys/fs/cgroup/cpu.max");  // "quota period" in microseconds, or "max period"
  double quota = 0;
  double period = 0;
  if (in >> quota >> period && period > 0) {
    cpus = std::min(cpus, static_cast<int>(std::ceil(quota / period)));
  }
  return std::max(1, cpus);
}

}  // namespace tutti
