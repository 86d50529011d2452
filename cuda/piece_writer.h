// Uploads through pinned memory: one piece is filled while the one before it is copied by the GPU.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include <cuda_runtime_api.h>

#include "device/device.h"

namespace tutti::cuda {

/// Made by one thread and used by another, each with the GPU of its own choice current before.
class PinnedPieceWriter final : public PieceWriter {
 public:
  /// Two segments of `piece_bytes` pinned memory, freed with the object.
  static Result<std::unique_ptr<PieceWriter>> create(int gpu,
                                                     cudaStream_t stream,
                                                     int64_t piece_bytes);
  ~PinnedPieceWriter() override;
  PinnedPieceWriter(const PinnedPieceWriter&) = delete;
  PinnedPieceWriter& operator=(const PinnedPieceWriter&) = delete;

  Status write(std::byte* to, int64_t begin, int64_t end, const FillFunction& fill) override;

 private:
  struct Segment {
    std::byte* data = nullptr;
    cudaEvent_t free = nullptr;  // behind the last copy out of it
  };

  PinnedPieceWriter(int gpu, cudaStream_t stream) : gpu_(gpu), stream_(stream) {}

  int gpu_;
  cudaStream_t stream_;
  std::array<Segment, 2> segments_;
  size_t next_ = 0;
};

}  // namespace tutti::cuda
