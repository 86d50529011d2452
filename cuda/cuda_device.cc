#include "cuda/cuda_device.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/checked.h"
#include "comm/communicator.h"
#include "cuda/cuda_error.h"
#include "cuda/piece_writer.h"

namespace tutti::cuda {

namespace {

constexpr size_t kSegments = 4;
constexpr int64_t kSegmentBytes = int64_t{8} << 20;

cudaStream_t handle_of(Stream& stream) {
  return static_cast<CudaStream&>(stream).handle();
}

// Ends a capture, whatever happens during it, and owns the result.
class Recording {
 public:
  explicit Recording(cudaStream_t stream) : stream_(stream) {}

  ~Recording() {
    if (!ended_) {
      end();
    }
    if (graph_ != nullptr) {
      cudaGraphDestroy(graph_);
    }
  }

  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  cudaError_t end() {
    ended_ = true;
    return cudaStreamEndCapture(stream_, &graph_);
  }

  cudaGraph_t graph() const { return graph_; }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<CudaStream>> CudaStream::create(int device) {
  TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(device), "cudaSetDevice"));
  cudaStream_t stream = nullptr;
  TUTTI_RETURN_IF_ERROR(check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                              "cudaStreamCreateWithFlags"));
  return std::make_unique<CudaStream>(stream);
}

CudaStream::~CudaStream() {
  cudaStreamDestroy(stream_);  // what is queued still runs
}

Status CudaStream::synchronize() {
  return check(cudaStreamSynchronize(stream_), "waiting for the operations queued so far");
}

CudaFence::~CudaFence() {
  cudaEventDestroy(event_);
}

Status CudaFence::record(Stream& stream) {
  return check(cudaEventRecord(event_, handle_of(stream)), "cudaEventRecord");
}

Status CudaFence::wait() {
  return check(cudaEventSynchronize(event_), "waiting for a step");
}

CudaTimer::~CudaTimer() {
  cudaEventDestroy(begin_);
  cudaEventDestroy(end_);
}

Status CudaTimer::start(Stream& stream) {
  return check(cudaEventRecord(begin_, handle_of(stream)), "cudaEventRecord");
}

Status CudaTimer::stop(Stream& stream) {
  return check(cudaEventRecord(end_, handle_of(stream)), "cudaEventRecord");
}

Result<double> CudaTimer::seconds() {
  float milliseconds = 0;
  TUTTI_RETURN_IF_ERROR(
      check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime"));
  return static_cast<double>(milliseconds) * 1e-3;
}

CudaGraph::~CudaGraph() {
  cudaGraphExecDestroy(graph_);
}

Status CudaGraph::launch(Stream& stream) {
  return check(cudaGraphLaunch(graph_, handle_of(stream)), "cudaGraphLaunch");
}

StagingRing::~StagingRing() {
  for (const Segment& segment : segments_) {
    cudaEventSynchronize(segment.free);
    cudaEventDestroy(segment.free);
    cudaFreeHost(segment.data);
  }
}

Status StagingRing::allocate() {
  for (size_t i = 0; i < kSegments; ++i) {
    Segment segment;
    void* data = nullptr;
    TUTTI_RETURN_IF_ERROR(check(cudaMallocHost(&data, usize(kSegmentBytes)),
                                "pinned memory for copies to the GPU (32 MiB of host memory)"));
    segment.data = static_cast<char*>(data);
    TUTTI_RETURN_IF_ERROR(check(cudaEventCreateWithFlags(&segment.free, cudaEventDisableTiming),
                                "cudaEventCreateWithFlags"));
    segments_.push_back(segment);
  }
  return ok_status();
}

Status StagingRing::advance() {
  current_ = (current_ + 1) % segments_.size();
  used_ = 0;
  // An event that was never recorded counts as done.
  return check(cudaEventSynchronize(segments_[current_].free), "copies to the GPU");
}

Status StagingRing::copy(void* to, const void* from, int64_t bytes, cudaStream_t stream) {
  if (segments_.empty()) {
    TUTTI_RETURN_IF_ERROR(allocate());
    stream_ = stream;
  }
  // One event per segment tells only of one stream. The old one may be gone by now, so it is not
  // touched again.
  if (stream != stream_) {
    if (used_ > 0) {
      TUTTI_RETURN_IF_ERROR(advance());
    }
    stream_ = stream;
  }
  for (int64_t done = 0; done < bytes;) {
    if (used_ == kSegmentBytes) {
      TUTTI_RETURN_IF_ERROR(advance());
    }
    const int64_t count = std::min(bytes - done, kSegmentBytes - used_);
    char* staged = segments_[current_].data + used_;
    std::memcpy(staged, static_cast<const char*>(from) + done, usize(count));
    TUTTI_RETURN_IF_ERROR(check(
        cudaMemcpyAsync(
            static_cast<char*>(to) + done, staged, usize(count), cudaMemcpyHostToDevice, stream),
        "copy to the GPU"));
    done += count;
    used_ += count;
    TUTTI_RETURN_IF_ERROR(
        check(cudaEventRecord(segments_[current_].free, stream), "cudaEventRecord"));
  }
  return ok_status();
}

std::string CudaDevice::name() const {
  return fmt::format("cuda:{} ({})", index_, gpu_);
}

int64_t CudaDevice::total_bytes() const {
  size_t free = 0;
  size_t total = 0;
  cudaSetDevice(index_);
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? ssize(total) : 0;
}

int64_t CudaDevice::free_bytes() const {
  size_t free = 0;
  size_t total = 0;
  cudaSetDevice(index_);
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? ssize(free) : 0;
}

void* CudaDevice::allocate(int64_t bytes) {
  void* data = nullptr;
  cudaSetDevice(index_);
  if (cudaMalloc(&data, usize(bytes)) != cudaSuccess) {
    cudaGetLastError();  // otherwise the next launch would report it
    return nullptr;
  }
  return data;
}

void CudaDevice::deallocate(void* data, int64_t) {
  cudaFree(data);
}

Status CudaDevice::copy_from_host(void* to, const void* from, int64_t bytes, Stream& stream) {
  TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(index_), "cudaSetDevice"));
  return staging_.copy(to, from, bytes, handle_of(stream));
}

Status CudaDevice::copy_to_host(void* to, const void* from, int64_t bytes, Stream& stream) {
  TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(index_), "cudaSetDevice"));
  return check(cudaMemcpyAsync(to, from, usize(bytes), cudaMemcpyDeviceToHost, handle_of(stream)),
               "copy from the GPU");
}

Result<std::unique_ptr<PieceWriter>> CudaDevice::new_piece_writer(Stream& stream,
                                                                  int64_t piece_bytes) {
  return PinnedPieceWriter::create(index_, handle_of(stream), piece_bytes);
}

std::unique_ptr<Stream> CudaDevice::new_stream() {
  Result<std::unique_ptr<CudaStream>> stream = CudaStream::create(index_);
  if (!stream.ok()) {
    throw DeviceError(stream.status().message());
  }
  return std::move(stream).value();
}

std::unique_ptr<Fence> CudaDevice::new_fence() {
  throw_if_failed(cudaSetDevice(index_), "cudaSetDevice");
  cudaEvent_t event = nullptr;
  // A thread that waits gives up its core: spinning would take it from the tokenizer.
  throw_if_failed(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync),
                  "cudaEventCreateWithFlags");
  return std::make_unique<CudaFence>(event);
}

std::unique_ptr<Timer> CudaDevice::new_timer() {
  throw_if_failed(cudaSetDevice(index_), "cudaSetDevice");
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  throw_if_failed(cudaEventCreate(&begin), "cudaEventCreate");
  const cudaError_t code = cudaEventCreate(&end);
  if (code != cudaSuccess) {
    cudaEventDestroy(begin);
    throw_if_failed(code, "cudaEventCreate");
  }
  return std::make_unique<CudaTimer>(begin, end);
}

Status CudaDevice::pause(Stream& stream, double seconds) {
  const auto sleep = [](void* microseconds) {
    std::this_thread::sleep_for(
        std::chrono::microseconds(reinterpret_cast<intptr_t>(microseconds)));
  };
  return check(
      cudaLaunchHostFunc(
          handle_of(stream), sleep, reinterpret_cast<void*>(static_cast<intptr_t>(seconds * 1e6))),
      "cudaLaunchHostFunc");
}

void* CudaDevice::allocate_host(int64_t bytes) {
  void* data = nullptr;
  cudaSetDevice(index_);
  if (cudaMallocHost(&data, usize(bytes)) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  return data;
}

void CudaDevice::deallocate_host(void* data) {
  cudaFreeHost(data);
}

Result<std::unique_ptr<Graph>> CudaDevice::record(Stream& stream,
                                                  const std::function<Status()>& work) {
  TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(index_), "cudaSetDevice"));
  const cudaStream_t handle = handle_of(stream);
  // Relaxed: other threads wait for fences meanwhile, and libraries set themselves up.
  TUTTI_RETURN_IF_ERROR(check(cudaStreamBeginCapture(handle, cudaStreamCaptureModeRelaxed),
                              "cudaStreamBeginCapture"));
  Recording recording(handle);
  TUTTI_RETURN_IF_ERROR(work());
  TUTTI_RETURN_IF_ERROR(check(recording.end(), "cudaStreamEndCapture"));
  cudaGraphExec_t executable = nullptr;
  TUTTI_RETURN_IF_ERROR(
      check(cudaGraphInstantiate(&executable, recording.graph(), 0), "cudaGraphInstantiate"));
  return std::unique_ptr<Graph>(std::make_unique<CudaGraph>(executable));
}

}  // namespace tutti::cuda
