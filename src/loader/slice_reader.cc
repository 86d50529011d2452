#include "loader/slice_reader.h"

#include <algorithm>
#include <memory>

#include "base/checked.h"

namespace tutti {

namespace {

// What is converted is read in parts of this size, so that a core finds it in its own cache.
constexpr int64_t kPartBytes = int64_t{128} << 10;

}  // namespace

Status SliceReader::add(const TensorRef& tensor, Range rows, const TensorRef* scale) {
  Source source{.tensor = tensor, .rows = rows, .first = elements_};
  if (scale != nullptr) {
    source.blocks = {blocks_of(rows, quant_.block_rows), blocks_of(cols_, quant_.block_cols)};
    TUTTI_RETURN_IF_ERROR(read_scales(*scale, source.blocks, source.scales));
  }
  elements_ += rows.count * cols_.count;
  sources_.push_back(std::move(source));
  return ok_status();
}

Result<int64_t> SliceReader::read(int64_t begin, int64_t end, std::byte* out) const {
  const int64_t local_size = dtype_size(local_);
  const int64_t last = end / local_size;
  int64_t at = begin / local_size;
  TUTTI_CHECK(begin % local_size == 0 && end % local_size == 0 && last <= elements_);
  // The source that holds `at`: the last one that begins there or before. Empty ones hold nothing.
  auto source = std::upper_bound(
      sources_.begin(), sources_.end(), at, [](int64_t e, const Source& s) { return e < s.first; });
  int64_t bytes = 0;
  for (; at < last; ++source) {
    const Source& s = *std::prev(source);
    const int64_t from = at - s.first;
    const int64_t to = std::min(last - s.first, s.rows.count * cols_.count);
    const DType stored = s.tensor.entry->dtype;
    read_ahead(s, from, to);
    TUTTI_RETURN_IF_ERROR(stored == local_ && s.scales.empty()
                              ? read_stored(s, from, to, out)
                              : read_as_floats(s, from, to, reinterpret_cast<float*>(out)));
    bytes += (to - from) * dtype_size(stored);
    out += (to - from) * local_size;
    at = s.first + to;
  }
  return bytes;
}

int64_t SliceReader::stored_at(const Source& source, int64_t index) const {
  const int64_t row = source.rows.begin + index / cols_.count;
  const int64_t col = cols_.begin + index % cols_.count;
  return (row * source_cols_ + col) * dtype_size(source.tensor.entry->dtype);
}

// Also what lies between a rank's columns: the other ranks read it.
void SliceReader::read_ahead(const Source& source, int64_t begin, int64_t end) const {
  if (begin < end) {
    const int64_t first = stored_at(source, begin);
    const int64_t last = stored_at(source, end - 1) + dtype_size(source.tensor.entry->dtype);
    source.tensor.file->read_ahead(source.tensor.entry->offset + first, last - first);
  }
}

Status SliceReader::read_stored(const Source& source,
                                int64_t begin,
                                int64_t end,
                                std::byte* out) const {
  const int64_t size = dtype_size(source.tensor.entry->dtype);
  const bool whole_rows = cols_.count == source_cols_;
  for (int64_t at = begin; at < end;) {
    const int64_t left_of_row = cols_.count - at % cols_.count;
    const int64_t rows = left_of_row == cols_.count ? (end - at) / cols_.count : 0;
    int64_t count = end - at;
    if (whole_rows || rows == 0) {
      count = whole_rows ? count : std::min(count, left_of_row);
      TUTTI_RETURN_IF_ERROR(source.tensor.read(stored_at(source, at), count * size, out));
    } else {
      count = rows * cols_.count;
      TUTTI_RETURN_IF_ERROR(source.tensor.read_strided(
          stored_at(source, at), cols_.count * size, source_cols_ * size, rows, out));
    }
    out += count * size;
    at += count;
  }
  return ok_status();
}

Status SliceReader::read_as_floats(const Source& source,
                                   int64_t begin,
                                   int64_t end,
                                   float* out) const {
  const DType stored = source.tensor.entry->dtype;
  const int64_t part = kPartBytes / dtype_size(stored);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(usize(kPartBytes));
  for (int64_t at = begin; at < end; at += part) {
    const int64_t stop = std::min(at + part, end);
    TUTTI_RETURN_IF_ERROR(read_stored(source, at, stop, buffer.get()));
    float* values = out + (at - begin);
    to_floats(buffer.get(), stored, stop - at, values);
    if (!source.scales.empty()) {
      multiply_scales(source, at, stop, values);
    }
  }
  return ok_status();
}

void SliceReader::multiply_scales(const Source& source,
                                  int64_t begin,
                                  int64_t end,
                                  float* values) const {
  for (int64_t at = begin; at < end;) {
    const int64_t row = source.rows.begin + at / cols_.count;
    const int64_t col = cols_.begin + at % cols_.count;
    const int64_t block_col = col / quant_.block_cols;
    // To the end of the block, of the row or of what is asked for.
    const int64_t stop = std::min((block_col + 1) * quant_.block_cols, cols_.end());
    const int64_t count = std::min(stop - col, end - at);
    const float scale = source.scales[usize((row / quant_.block_rows - source.blocks.rows.begin) *
                                                source.blocks.cols.count +
                                            block_col - source.blocks.cols.begin)];
    for (int64_t i = 0; i < count; ++i) {
      *values++ *= scale;
    }
    at += count;
  }
}

}  // namespace tutti
