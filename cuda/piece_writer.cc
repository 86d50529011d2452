#include "cuda/piece_writer.h"

#include "base/checked.h"
#include "base/units.h"
#include "cuda/cuda_error.h"

namespace tutti::cuda {

Result<std::unique_ptr<PieceWriter>> PinnedPieceWriter::create(int gpu,
                                                               cudaStream_t stream,
                                                               int64_t piece_bytes) {
  TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(gpu), "cudaSetDevice"));
  std::unique_ptr<PinnedPieceWriter> writer(new PinnedPieceWriter(gpu, stream));
  for (Segment& segment : writer->segments_) {
    void* data = nullptr;
    const cudaError_t code = cudaMallocHost(&data, usize(piece_bytes));
    if (code != cudaSuccess) {
      cudaGetLastError();  // otherwise the next launch would report it
      return error(StatusCode::kOutOfMemory,
                   "pinned memory for uploads to the GPU: {}: {}",
                   format_bytes(piece_bytes),
                   describe(code));
    }
    segment.data = static_cast<std::byte*>(data);
    // A thread that waits gives up its core to those that fill.
    TUTTI_RETURN_IF_ERROR(check(
        cudaEventCreateWithFlags(&segment.free, cudaEventDisableTiming | cudaEventBlockingSync),
        "cudaEventCreateWithFlags"));
  }
  return std::unique_ptr<PieceWriter>(std::move(writer));
}

PinnedPieceWriter::~PinnedPieceWriter() {
  cudaSetDevice(gpu_);
  // Not the events: a copy whose event could not be recorded must end too before its memory goes.
  cudaStreamSynchronize(stream_);
  for (const Segment& segment : segments_) {
    if (segment.free != nullptr) {
      cudaEventDestroy(segment.free);
    }
    if (segment.data != nullptr) {
      cudaFreeHost(segment.data);
    }
  }
}

Status PinnedPieceWriter::write(std::byte* to,
                                int64_t begin,
                                int64_t end,
                                const FillFunction& fill) {
  Segment& segment = segments_[next_];
  next_ = 1 - next_;
  TUTTI_RETURN_IF_ERROR(check(cudaSetDevice(gpu_), "cudaSetDevice"));
  // An event that was never recorded counts as done.
  TUTTI_RETURN_IF_ERROR(check(cudaEventSynchronize(segment.free), "copies to the GPU"));
  TUTTI_RETURN_IF_ERROR(fill(begin, end, segment.data));
  TUTTI_RETURN_IF_ERROR(
      check(cudaMemcpyAsync(
                to + begin, segment.data, usize(end - begin), cudaMemcpyHostToDevice, stream_),
            "copy to the GPU"));
  return check(cudaEventRecord(segment.free, stream_), "cudaEventRecord");
}

}  // namespace tutti::cuda
