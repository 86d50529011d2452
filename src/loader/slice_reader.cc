#include "loader/slice_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "base/checked.h"

namespace tutti {

namespace {

// What is converted is read in parts of this size, so that a core finds it in its own cache.
constexpr int64_t kPartBytes = int64_t{128} << 10;

// Of the tensor, in bytes.
int64_t stored_at(const PlaneSlice& slice, int64_t element) {
  const int64_t row = slice.rows.begin + element / slice.cols.count;
  const int64_t col = slice.cols.begin + element % slice.cols.count;
  return (row * slice.tensor_cols + col) * dtype_size(slice.tensor->dtype);
}

// Elements of a plane in a type of their own as f32.
void to_floats(const std::byte* data, DType dtype, int64_t count, float* out) {
  if (const WeightFormat* dense = dense_format(dtype)) {
    dense->dequantise({.planes = {data}}, count, out);
    return;
  }
  TUTTI_CHECK(dtype == DType::kF8E4M3);
  for (int64_t i = 0; i < count; ++i) {
    out[i] = to_float(F8E4M3{static_cast<uint8_t>(data[i])});
  }
}

}  // namespace

void SliceReader::push(Part part) {
  TUTTI_CHECK(parts_.empty() || parts_.front().size == part.size);
  part.first = elements_;
  elements_ += part.elements;
  parts_.push_back(std::move(part));
}

void SliceReader::add(const PlaneSlice& slice) {
  push({.values = slice, .elements = slice.elements(), .size = dtype_size(slice.tensor->dtype)});
}

Result<int64_t> SliceReader::add_as_floats(const StoredWeight& weight) {
  const WeightFormat& format = *weight.layout.format;
  TUTTI_CHECK_EQ(weight.layout.cells[0].rows, 1);
  Part part{.values = weight.slice(0),
            .elements = weight.rows.count * weight.cols.count,
            .size = dtype_size(DType::kF32),
            .weight = weight};
  int64_t bytes = 0;
  for (int p = 1; p < format.plane_count; ++p) {
    const PlaneSlice slice = weight.slice(p);
    TUTTI_TRY(part.planes[usize(p)], read_plane(tensors_, slice, format.planes[usize(p)]));
    bytes += slice.bytes();
  }
  push(std::move(part));
  return bytes;
}

Result<int64_t> SliceReader::read(int64_t begin, int64_t end, std::byte* out) const {
  const int64_t size = parts_.empty() ? 1 : parts_.front().size;
  const int64_t last = end / size;
  int64_t at = begin / size;
  TUTTI_CHECK(begin % size == 0 && end % size == 0 && last <= elements_);
  // The part that holds `at`: the last one that begins there or before. Empty ones hold nothing.
  auto next = std::upper_bound(
      parts_.begin(), parts_.end(), at, [](int64_t e, const Part& p) { return e < p.first; });
  int64_t bytes = 0;
  for (; at < last; ++next) {
    const Part& part = *std::prev(next);
    const int64_t from = at - part.first;
    const int64_t to = std::min(last - part.first, part.elements);
    TUTTI_TRY(const int64_t read, read_part(part, from, to, out));
    bytes += read;
    out += (to - from) * size;
    at = part.first + to;
  }
  return bytes;
}

Result<int64_t> SliceReader::read_part(const Part& part,
                                       int64_t begin,
                                       int64_t end,
                                       std::byte* out) const {
  if (part.weight) {
    return read_floats(part, begin, end, reinterpret_cast<float*>(out));
  }
  read_ahead(part.values, begin, end);
  TUTTI_RETURN_IF_ERROR(read_stored(part.values, begin, end, out));
  return (end - begin) * part.size;
}

// Also what lies between a rank's columns: the other ranks read it.
void SliceReader::read_ahead(const PlaneSlice& slice, int64_t begin, int64_t end) const {
  if (begin < end) {
    const int64_t first = stored_at(slice, begin);
    const int64_t last = stored_at(slice, end - 1) + dtype_size(slice.tensor->dtype);
    tensors_.read_ahead(*slice.tensor, first, last - first);
  }
}

Status SliceReader::read_stored(const PlaneSlice& slice,
                                int64_t begin,
                                int64_t end,
                                std::byte* out) const {
  const int64_t size = dtype_size(slice.tensor->dtype);
  const int64_t width = slice.cols.count;
  const bool whole_rows = width == slice.tensor_cols;
  for (int64_t at = begin; at < end;) {
    const int64_t left_of_row = width - at % width;
    const int64_t rows = left_of_row == width ? (end - at) / width : 0;
    int64_t count = end - at;
    if (whole_rows || rows == 0) {
      count = whole_rows ? count : std::min(count, left_of_row);
      TUTTI_RETURN_IF_ERROR(tensors_.read(*slice.tensor, stored_at(slice, at), count * size, out));
    } else {
      count = rows * width;
      TUTTI_RETURN_IF_ERROR(tensors_.read_strided(
          *slice.tensor, stored_at(slice, at), width * size, slice.tensor_cols * size, rows, out));
    }
    out += count * size;
    at += count;
  }
  return ok_status();
}

// Rectangles: the end of a row, whole rows, the beginning of one; none takes more than kPartBytes
// and a cell.
Result<int64_t> SliceReader::read_floats(const Part& part,
                                         int64_t begin,
                                         int64_t end,
                                         float* out) const {
  const int64_t width = part.weight->cols.count;
  const int64_t row_bytes = part.values.cols.count * dtype_size(part.values.tensor->dtype);
  const int64_t cell_bytes =
      part.weight->layout.format->planes[0].elements * dtype_size(part.values.tensor->dtype);
  const int64_t most_rows = std::max<int64_t>(1, kPartBytes / row_bytes);
  const int64_t most_cols =
      std::max<int64_t>(1, kPartBytes / cell_bytes * part.weight->layout.cells[0].cols);
  const auto buffer =
      std::make_unique_for_overwrite<std::byte[]>(usize(kPartBytes + 2 * cell_bytes));
  int64_t bytes = 0;
  for (int64_t at = begin; at < end;) {
    const int64_t col = at % width;
    const bool whole = col == 0 && end - at >= width && width <= most_cols;
    const Range rows{at / width, whole ? std::min((end - at) / width, most_rows) : 1};
    const Range cols{col, whole ? width : std::min({width - col, end - at, most_cols})};
    TUTTI_TRY(const int64_t read, read_rows(part, rows, cols, buffer.get(), out));
    bytes += read;
    at += rows.count * cols.count;
    out += rows.count * cols.count;
  }
  return bytes;
}

// `rows` and `cols` count within the share. Of a cell that is cut here the part that has its
// beginning counts as read.
Result<int64_t> SliceReader::read_rows(
    const Part& part, Range rows, Range cols, std::byte* buffer, float* out) const {
  const StoredWeight& weight = *part.weight;
  const WeightFormat& format = *weight.layout.format;
  const WeightCell cell = weight.layout.cells[0];
  const int64_t elements = format.planes[0].elements;
  const int64_t first_col = weight.cols.begin + cols.begin;
  const int64_t first_cell = first_col / cell.cols;
  const int64_t end_cell = ceil_div(first_col + cols.count, cell.cols);
  // Of the values' slice. Several rows are whole ones.
  const int64_t begin =
      rows.begin * part.values.cols.count + first_cell * elements - part.values.cols.begin;
  const int64_t row_elements = (end_cell - first_cell) * elements;
  const int64_t end = begin + (rows.count - 1) * part.values.cols.count + row_elements;
  read_ahead(part.values, begin, end);
  TUTTI_RETURN_IF_ERROR(read_stored(part.values, begin, end, buffer));
  const int64_t size = dtype_size(part.values.tensor->dtype);
  for (int64_t r = 0; r < rows.count; ++r) {
    WeightRow row{
        .cells = weight.layout.cells, .row = weight.rows.begin + rows.begin + r, .col = first_col};
    row.planes[0] = buffer + r * row_elements * size;
    for (size_t p = 1; p < usize(format.plane_count); ++p) {
      const PlaneSlice slice = weight.slice(static_cast<int>(p));
      const int64_t at = (row.row / row.cells[p].rows - slice.rows.begin) * slice.cols.count +
                         first_col / row.cells[p].cols * format.planes[p].elements -
                         slice.cols.begin;
      row.planes[p] = part.planes[p].data() + at * dtype_size(format.planes[p].dtype);
    }
    format.dequantise(row, cols.count, out + r * cols.count);
  }
  const int64_t counted_from = cols.begin == 0 ? first_cell : ceil_div(first_col, cell.cols);
  const int64_t cells = end_cell - counted_from;
  return rows.count * cells * elements * size;
}

Result<std::vector<std::byte>> read_plane(const TensorSource& tensors,
                                          const PlaneSlice& slice,
                                          const WeightPlane& plane) {
  // Whole rows in one read: such planes are small, and cutting them costs a system call per row.
  const TensorInfo& tensor = *slice.tensor;
  const int64_t stored_size = dtype_size(tensor.dtype);
  const int64_t row_bytes = slice.tensor_cols * stored_size;
  std::vector<std::byte> stored(usize(slice.rows.count * row_bytes));
  TUTTI_RETURN_IF_ERROR(
      tensors.read(tensor, slice.rows.begin * row_bytes, ssize(stored.size()), stored.data()));
  const int64_t size = dtype_size(plane.dtype);
  std::vector<std::byte> out(usize(slice.elements() * size));
  std::vector<float> floats(usize(slice.cols.count));
  for (int64_t r = 0; r < slice.rows.count; ++r) {
    const std::byte* from = stored.data() + r * row_bytes + slice.cols.begin * stored_size;
    std::byte* to = out.data() + r * slice.cols.count * size;
    if (!plane.from_any_float) {
      std::memcpy(to, from, usize(slice.cols.count * size));
      continue;
    }
    TUTTI_CHECK(plane.dtype == DType::kF32);
    to_floats(from, tensor.dtype, slice.cols.count, floats.data());
    for (int64_t c = 0; c < slice.cols.count; ++c) {
      if (!std::isfinite(floats[usize(c)])) {
        return error(StatusCode::kCorrupt,
                     "{}: {}: {} [{}, {}] is {}, wanted a finite number",
                     tensor.file,
                     tensor.name,
                     plane.name,
                     slice.rows.begin + r,
                     slice.cols.begin + c,
                     floats[usize(c)]);
      }
    }
    std::memcpy(to, floats.data(), usize(slice.cols.count * size));
  }
  return out;
}

}  // namespace tutti
