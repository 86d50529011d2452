// The warp group of grouped_gemm_sm90.cu that brings weights and rows of x.
#pragma once
#include "cuda/kernels/grouped_tiles.cuh"

namespace tutti::cuda::grouped {

#if TUTTI_HAS_WGMMA

template <int kTokens, bool kScaled, bool kGated>
class Producer {
 public:
  using S = Shared<kTokens, kScaled>;

  __device__ Producer(const Params& p,
                      S& shared,
                      const CUtensorMap& w_map,
                      const CUtensorMap& x_map)
      : p_(p),
        shared_(shared),
        w_map_(w_map),
        x_map_(x_map),
        thread_(static_cast<int>(threadIdx.x) % kGroupThreads) {}

  __device__ void run(const Steps& steps) {
    int group = 0;
    int at = 0;  // stages begun so far
    for (int index = first_index(p_); index < shared_.first_tile[p_.groups];
         index += index_stride(p_)) {
      const Tile tile = tile_at<kTokens>(p_, shared_.first_tile, index, group);
      find_rows(tile);
      for (int step = steps.first; step < steps.first + steps.count; ++step, ++at) {
        const int stage = at % S::kStages;
        barrier_wait(&shared_.empty[stage], static_cast<uint32_t>(at / S::kStages & 1) ^ 1U);
        if (thread_ == 0) {
          load_weights(tile, step, stage);
        }
        load_x(step, stage);
        barrier_arrive_after_copies(&shared_.full[stage]);
      }
    }
  }

 private:
  static constexpr int kPieces = kTokens / 16;  // rows of x that a thread copies 16 bytes of

  // 8 threads copy a row of 128 bytes.
  __device__ void find_rows(const Tile& tile) {
#pragma unroll
    for (int i = 0; p_.x_rows != nullptr && i < kPieces; ++i) {
      const int local = thread_ / 8 + 16 * i;
      x_[i] = local < tile.rows ? p_.x + source(tile.row + local) * p_.x_row_bytes : nullptr;
    }
    if constexpr (kScaled) {
      x_scales_ = thread_ < tile.rows && thread_ < kTokens
                      ? p_.x_scales + source(tile.row + thread_) * p_.x_scale_stride
                      : nullptr;
    }
  }

  __device__ int64_t source(int row) const {
    return p_.x_rows == nullptr ? row : p_.x_rows[row];
  }

  __device__ void load_weights(const Tile& tile, int step, int stage) const {
    uint64_t* full = &shared_.full[stage];
    const bool in_order = p_.x_rows == nullptr;
    barrier_expect(full, kWeightBytes + (in_order ? kTokens * kRowBytes : 0));
    constexpr int kValueBytes = kScaled ? 1 : 2;
    const int column = (step * kRowBytes) / kValueBytes;
    if (in_order) {  // what lies behind the tile's rows is computed and not stored
      tma_load_2d(shared_.x[stage], &x_map_, column, tile.row, full);
    }
#pragma unroll
    for (int part = 0; part < 4; ++part) {  // (warp group, low or high)
      tma_load_2d(shared_.w[stage] + part * 64 * kRowBytes,
                  &w_map_,
                  column,
                  tile.group * p_.n + part_row<kGated>(p_, tile, part),
                  full);
    }
  }

  __device__ void load_x(int step, int stage) const {
    const int chunk = thread_ % 8;
    const int at = step * kRowBytes + chunk * 16;
    const bool inside = at < p_.k_bytes;
#pragma unroll
    for (int i = 0; p_.x_rows != nullptr && i < kPieces; ++i) {
      const int local = thread_ / 8 + 16 * i;
      const bool valid = inside && x_[i] != nullptr;
      copy_async_16(shared_.x[stage] + local * kRowBytes + ((chunk ^ (local % 8)) * 16),
                    valid ? x_[i] + at : p_.x,
                    valid);
    }
    if constexpr (kScaled) {
      if (thread_ < kTokens) {
        copy_async_4(&shared_.x_scales[stage][thread_],
                     x_scales_ != nullptr ? x_scales_ + step : p_.x_scales,
                     x_scales_ != nullptr);
      }
    }
  }

  const Params& p_;
  S& shared_;
  const CUtensorMap& w_map_;
  const CUtensorMap& x_map_;
  int thread_;
  const uint8_t* x_[kPieces];
  const float* x_scales_ = nullptr;
};

#endif  // TUTTI_HAS_WGMMA

}  // namespace tutti::cuda::grouped
