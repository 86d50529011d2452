#include "cuda/peer_test.h"

#include <cstdint>
#include <string>
#include <utility>

#include <cuda_runtime_api.h>

#include "base/checked.h"
#include "cuda/cuda_error.h"
#include "cuda/ops/peer_probe.h"

namespace tutti::cuda {

namespace {

constexpr int64_t kBufferWords = (int64_t{1} << 20) / 4;
constexpr int64_t kWordBytes = 4;
constexpr uint32_t kUntouched = 0xA5A5A5A5U;

using Words = std::vector<uint32_t>;

// A MiB on one GPU, which all copies from and to the host go through: they tell nothing of peers.
class GpuWords {
 public:
  explicit GpuWords(int gpu) : gpu_(gpu) {}

  GpuWords(const GpuWords&) = delete;
  GpuWords& operator=(const GpuWords&) = delete;

  ~GpuWords() {
    if (data_ != nullptr) {
      cudaSetDevice(gpu_);
      cudaFree(data_);
    }
  }

  Status allocate() {
    TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(gpu_), "cudaSetDevice"));
    return check(cudaMalloc(&data_, usize(kBufferWords * kWordBytes)), "cudaMalloc");
  }

  Status set(const Words& words) {
    TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(gpu_), "cudaSetDevice"));
    TUTTI_RETURN_IF_ERROR(
        check(cudaMemcpy(data_, words.data(), words.size() * kWordBytes, cudaMemcpyHostToDevice),
              "copy to the GPU"));
    // The copy of pageable memory may still be on its way from a staging buffer.
    return check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  }

  Result<Words> get() const {
    Words words(usize(kBufferWords));
    TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(gpu_), "cudaSetDevice"));
    TUTTI_RETURN_IF_ERROR(
        check(cudaMemcpy(words.data(), data_, words.size() * kWordBytes, cudaMemcpyDeviceToHost),
              "copy to the host"));
    return words;
  }

  uint32_t* data() const { return static_cast<uint32_t*>(data_); }

  int gpu() const { return gpu_; }

 private:
  int gpu_;
  void* data_ = nullptr;
};

// Peer access of `from` to `to`; taken back only where it was given here.
class PeerAccess {
 public:
  PeerAccess(int from, int to) : from_(from), to_(to) {}

  PeerAccess(const PeerAccess&) = delete;
  PeerAccess& operator=(const PeerAccess&) = delete;

  ~PeerAccess() {
    if (given_) {
      cudaSetDevice(from_);
      cudaDeviceDisablePeerAccess(to_);
    }
  }

  Status give() {
    TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(from_), "cudaSetDevice"));
    const cudaError_t code = cudaDeviceEnablePeerAccess(to_, 0);
    if (code == cudaErrorPeerAccessAlreadyEnabled) {
      cudaGetLastError();
      return ok_status();
    }
    given_ = code == cudaSuccess;
    return check(code, "cudaDeviceEnablePeerAccess");
  }

 private:
  int from_;
  int to_;
  bool given_ = false;
};

// Words that no other test of this run writes.
Words pattern(uint32_t& seed) {
  Words words(usize(kBufferWords));
  for (uint32_t& word : words) {
    seed = seed * 1664525U + 1013904223U;
    word = seed ^ (seed >> 16);
  }
  return words;
}

// Empty if the first `count` words are those of `sent` and the others are untouched.
std::string compare(const Words& got, const Words& sent, int64_t count, const char* how) {
  int64_t wrong = 0;
  int64_t first = -1;
  for (int64_t i = 0; i < kBufferWords; ++i) {
    const uint32_t want = i < count ? sent[usize(i)] : kUntouched;
    if (got[usize(i)] != want) {
      first = first < 0 ? i : first;
      ++wrong;
    }
  }
  return wrong == 0 ? ""
                    : fmt::format("{} of {} bytes: {} words differ, the first at byte {}",
                                  how,
                                  count * kWordBytes,
                                  wrong,
                                  first * kWordBytes);
}

enum class Mover { kKernel, kCopyEngine };

// GPU `mover` moves `count` words from `source` to `target`; what differs there, or nothing.
Result<std::string> move_words(
    Mover how, GpuWords& target, GpuWords& source, int mover, int64_t count, uint32_t& seed) {
  const Words sent = pattern(seed);
  TUTTI_RETURN_IF_ERROR(source.set(sent));
  TUTTI_RETURN_IF_ERROR(target.set(Words(usize(kBufferWords), kUntouched)));
  TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(mover), "cudaSetDevice"));
  if (how == Mover::kKernel) {
    TUTTI_RETURN_IF_ERROR(
        check(copy_words(target.data(), source.data(), count, nullptr), "peer kernel"));
  } else {
    TUTTI_RETURN_IF_ERROR(check(cudaMemcpyPeerAsync(target.data(),
                                                    target.gpu(),
                                                    source.data(),
                                                    source.gpu(),
                                                    usize(count * kWordBytes),
                                                    nullptr),
                                "cudaMemcpyPeerAsync"));
  }
  TUTTI_RETURN_IF_ERROR(check(cudaDeviceSynchronize(), "peer access"));
  TUTTI_TRY(const Words got, target.get());
  return compare(got,
                 sent,
                 count,
                 target.gpu() == mover ? (how == Mover::kKernel ? "kernel read" : "copy read")
                                       : (how == Mover::kKernel ? "kernel write" : "copy write"));
}

Result<PeerResult> test_pair(int from, int to, uint32_t& seed) {
  PeerResult result{.from = from, .to = to, .verdict = PeerVerdict::kUnsupported};
  int possible = 0;
  TUTTI_RETURN_IF_ERROR(
      check(cudaDeviceCanAccessPeer(&possible, from, to), "cudaDeviceCanAccessPeer"));
  if (possible == 0) {
    return result;
  }
  PeerAccess access(from, to);
  GpuWords own(from);
  GpuWords peer(to);
  TUTTI_RETURN_IF_ERROR(own.allocate());
  TUTTI_RETURN_IF_ERROR(peer.allocate());
  TUTTI_RETURN_IF_ERROR(access.give());
  for (const int64_t count : {int64_t{1}, kBufferWords}) {
    for (const Mover how : {Mover::kKernel, Mover::kCopyEngine}) {
      for (const bool write : {true, false}) {
        TUTTI_TRY(result.text,
                  move_words(how, write ? peer : own, write ? own : peer, from, count, seed));
        if (!result.text.empty()) {
          result.verdict = PeerVerdict::kWrongData;
          return result;
        }
      }
    }
  }
  result.verdict = PeerVerdict::kOk;
  return result;
}

}  // namespace

void test_peers(const std::vector<PeerResult>& pairs, const PeerSay& say) {
  uint32_t seed = 20261129;
  for (const PeerResult& pair : pairs) {
    say({.from = pair.from, .to = pair.to, .verdict = PeerVerdict::kTrying});
    const Result<PeerResult> result = test_pair(pair.from, pair.to, seed);
    if (result.ok()) {
      say(*result);
    } else {
      cudaGetLastError();
      say({.from = pair.from,
           .to = pair.to,
           .verdict = PeerVerdict::kError,
           .text = result.status().message()});
    }
  }
}

}  // namespace tutti::cuda
