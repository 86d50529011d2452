// One GPU as a memory space with streams. Copies from the host go through pinned memory of this
// object: pageable memory would make every copy synchronous and slow.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

#include "device/device.h"

namespace tutti::cuda {

class CudaStream final : public Stream {
 public:
  static Result<std::unique_ptr<CudaStream>> create(int device);

  explicit CudaStream(cudaStream_t stream) : stream_(stream) {}

  ~CudaStream() override;

  /// kDevice also for errors of kernels queued before: they surface here.
  Status synchronize() override;

  cudaStream_t handle() const { return stream_; }

 private:
  cudaStream_t stream_;
};

class CudaFence final : public Fence {
 public:
  explicit CudaFence(cudaEvent_t event) : event_(event) {}

  ~CudaFence() override;
  Status record(Stream& stream) override;
  Status wait() override;

 private:
  cudaEvent_t event_;
};

class CudaTimer final : public Timer {
 public:
  CudaTimer(cudaEvent_t begin, cudaEvent_t end) : begin_(begin), end_(end) {}

  ~CudaTimer() override;
  Status start(Stream& stream) override;
  Status stop(Stream& stream) override;
  Result<double> seconds() override;

 private:
  cudaEvent_t begin_;
  cudaEvent_t end_;
};

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(cudaGraphExec_t graph) : graph_(graph) {}

  ~CudaGraph() override;
  Status launch(Stream& stream) override;

 private:
  cudaGraphExec_t graph_;
};

/// Pinned memory in segments that are filled one after another. A segment is filled again when the
/// copies out of it are done, which an event says. Used by one thread at a time.
class StagingRing {
 public:
  ~StagingRing();

  /// Copies `from` and queues the copy to the device; `from` is free on return.
  Status copy(void* to, const void* from, int64_t bytes, cudaStream_t stream);

 private:
  struct Segment {
    char* data = nullptr;
    cudaEvent_t free = nullptr;
  };

  Status allocate();
  /// Goes on to the next segment when its copies are done.
  Status advance();

  std::vector<Segment> segments_;
  size_t current_ = 0;
  int64_t used_ = 0;               // of the current segment
  cudaStream_t stream_ = nullptr;  // of the copies out of the current segment; only compared
};

class CudaDevice final : public Device {
 public:
  CudaDevice(int index, std::string gpu) : index_(index), gpu_(std::move(gpu)) {}

  DeviceKind kind() const override { return DeviceKind::kCuda; }

  int index() const override { return index_; }

  /// "cuda:0 (NVIDIA H200)"
  std::string name() const override;
  int64_t total_bytes() const override;
  int64_t free_bytes() const override;
  void* allocate(int64_t bytes) override;
  void deallocate(void* data, int64_t bytes) override;
  Status copy_from_host(void* to, const void* from, int64_t bytes, Stream& stream) override;
  Status copy_to_host(void* to, const void* from, int64_t bytes, Stream& stream) override;
  Result<std::unique_ptr<PieceWriter>> new_piece_writer(Stream& stream,
                                                        int64_t piece_bytes) override;
  /// Throws DeviceError if the driver cannot make one.
  std::unique_ptr<Stream> new_stream() override;
  /// Throws DeviceError if the driver cannot make one.
  std::unique_ptr<Fence> new_fence() override;
  /// Throws DeviceError if the driver cannot make one.
  std::unique_ptr<Timer> new_timer() override;
  Status pause(Stream& stream, double seconds) override;
  void* allocate_host(int64_t bytes) override;
  void deallocate_host(void* data) override;

  bool records_graphs() const override { return true; }

  /// What `work` throws ends the recording and goes on.
  Result<std::unique_ptr<Graph>> record(Stream& stream,
                                        const std::function<Status()>& work) override;

 private:
  int index_;
  std::string gpu_;
  StagingRing staging_;
};

}  // namespace tutti::cuda
