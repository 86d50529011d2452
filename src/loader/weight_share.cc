#include "loader/weight_share.h"

#include <algorithm>
#include <numeric>

#include <fmt/ranges.h>

#include "base/checked.h"

namespace tutti {

namespace {

// The cells of `size` x .. ones that [range) touches.
Range cells_of(Range range, int64_t size) {
  const int64_t first = range.begin / size;
  return {first, ceil_div(range.end(), size) - first};
}

std::string dims_text(const std::vector<int64_t>& dims) {
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

int64_t elements(const std::vector<int64_t>& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

Status check_shape(const TensorInfo& tensor, const std::vector<int64_t>& wanted) {
  if (tensor.dims == wanted) {
    return ok_status();
  }
  const std::vector<int64_t> reversed(wanted.rbegin(), wanted.rend());
  return error(StatusCode::kInvalidArgument,
               "{}: {}: shape {}, wanted {}{}",
               tensor.file,
               tensor.name,
               dims_text(tensor.dims),
               dims_text(wanted),
               wanted.size() == 2 && tensor.dims == reversed
                   ? "; is the checkpoint transposed?"
                   : "; does config.json belong to these weights?");
}

bool is_float(DType dtype) {
  return dtype == DType::kF8E4M3 || dense_format(dtype) != nullptr;
}

// "F32, F16, BF16 or F8_E4M3": the types of values.
std::string value_types() {
  std::vector<std::string> names;
  for (const WeightFormat* format : weight_formats()) {
    const std::string name = dtype_name(format->planes[0].dtype);
    if (*format->planes[0].suffix == '\0' &&
        std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
  const std::string last = names.back();
  names.pop_back();
  return fmt::format("{} or {}", fmt::join(names, ", "), last);
}

// A format of the table whose values have this type and, unlike `name`, need more planes.
const WeightFormat* quantised_format(DType values) {
  for (const WeightFormat* format : weight_formats()) {
    if (!format->dense() && *format->planes[0].suffix == '\0' &&
        format->planes[0].dtype == values) {
      return format;
    }
  }
  return nullptr;
}

Result<WeightLayout> dense_layout(const TensorInfo& tensor, const TensorSource& tensors) {
  if (const WeightFormat* format = dense_format(tensor.dtype)) {
    return WeightLayout::of(*format);
  }
  const WeightFormat* format = quantised_format(tensor.dtype);
  if (format == nullptr) {
    return error(StatusCode::kInvalidArgument,
                 "{}: {}: dtype {}, wanted {}",
                 tensor.file,
                 tensor.name,
                 dtype_name(tensor.dtype),
                 value_types());
  }
  const std::string scale = tensor.name + format->planes[1].suffix;
  return error(StatusCode::kInvalidArgument,
               "{}: {}: dtype {} needs {} and quantization_config in config.json; {} is missing",
               tensor.file,
               tensor.name,
               dtype_name(tensor.dtype),
               scale,
               tensors.find(scale) == nullptr ? scale : "quantization_config");
}

// The configured format, with scales of the type in which they are stored.
const WeightFormat& stored_format(const std::string& name,
                                  const TensorSource& tensors,
                                  const WeightFormat& configured) {
  const TensorInfo* scales =
      configured.plane_count > 1 ? tensors.find(name + configured.planes[1].suffix) : nullptr;
  if (scales == nullptr || configured.planes[1].from_any_float) {
    return configured;
  }
  const WeightFormat* other = with_scales(configured, scales->dtype);
  return other != nullptr ? *other : configured;
}

// Finds all planes of a quantised weight and compares them with the declaration.
Status find_planes(const std::string& name,
                   const TensorSource& tensors,
                   int64_t rows,
                   StoredWeight& weight) {
  const WeightFormat& format = *weight.layout.format;
  for (int p = 0; p < format.plane_count; ++p) {
    const WeightPlane& plane = format.planes[usize(p)];
    const TensorInfo* tensor = tensors.find(name + plane.suffix);
    const TensorInfo& values = p == 0 ? *tensor : *weight.planes[0];
    if (tensor == nullptr) {
      return error(StatusCode::kInvalidArgument,
                   "{}: {}: dtype {} needs {}{} and quantization_config in config.json; {}{} is "
                   "missing",
                   values.file,
                   values.name,
                   dtype_name(values.dtype),
                   name,
                   plane.suffix,
                   name,
                   plane.suffix);
    }
    if (tensor->dtype != plane.dtype && !(plane.from_any_float && is_float(tensor->dtype))) {
      return error(StatusCode::kInvalidArgument,
                   "{}: {}: dtype {}, wanted {}",
                   tensor->file,
                   tensor->name,
                   dtype_name(tensor->dtype),
                   dtype_name(plane.dtype));
    }
    const Shape shape = weight.layout.plane_shape(p, {rows, weight.all_cols});
    // One number may be stored as a scalar or a vector.
    if (shape.numel() != 1 || elements(tensor->dims) != 1) {
      TUTTI_RETURN_IF_ERROR(check_shape(*tensor, {shape[0], shape[1]}));
    }
    weight.planes[usize(p)] = tensor;
  }
  return ok_status();
}

Result<StoredWeight> find_weight(const ParamSpec& spec,
                                 const ParamSource& source,
                                 const std::string& name,
                                 const TensorSource& tensors,
                                 const QuantConfig& quant) {
  const bool matrix = spec.cols > 0;
  StoredWeight weight{.rows = source.take,
                      .cols = matrix ? spec.take_cols : Range{0, 1},
                      .all_cols = matrix ? spec.cols : 1};
  const TensorInfo* values = find_values(tensors, name, quant);
  if (values == nullptr) {
    return error(StatusCode::kNotFound, "{}", name);
  }
  if (quant.format != nullptr && matrix && values->dtype == quant.format->planes[0].dtype &&
      values->name == name + quant.format->planes[0].suffix) {
    weight.layout = WeightLayout::of(stored_format(name, tensors, *quant.format), quant.block);
    TUTTI_RETURN_IF_ERROR(find_planes(name, tensors, source.rows, weight));
    return weight;
  }
  TUTTI_TRY(weight.layout, dense_layout(*values, tensors));
  TUTTI_RETURN_IF_ERROR(check_shape(
      *values,
      matrix ? std::vector<int64_t>{source.rows, spec.cols} : std::vector<int64_t>{source.rows}));
  weight.planes[0] = values;
  return weight;
}

// A side of a cell, of which a share takes `take` of `whole` from place `at` of the local weight
// on.
struct Cut {
  int64_t at = 0;
  Range take;
  int64_t whole = 0;
};

bool between_cells(const Cut& cut, int64_t size) {
  return cut.at % size == 0 && cut.take.begin % size == 0 &&
         (cut.take.end() % size == 0 || cut.take.end() == cut.whole);
}

// The longest side with which cells that begin at local place 0 lie within stored ones of `size`.
int64_t local_side(const std::vector<Cut>& cuts, int64_t size) {
  int64_t side = size;
  for (const Cut& cut : cuts) {
    side = std::gcd(side, cut.at);
    if (cells_of(cut.take, size).count > 1) {
      side = std::gcd(side, cut.take.begin);
    }
  }
  return side;
}

Status cannot_cut(const ParamSpec& spec,
                  const WeightFormat& format,
                  const WeightPlane& plane,
                  const char* what,
                  const Cut& cut,
                  int64_t size) {
  return error(
      StatusCode::kInvalidArgument,
      "{}: {} {} to {} of {} are this rank's share, but {} weights cannot be cut within {} "
      "{} ({}); wanted multiples of {}: use another number of ranks",
      spec.name,
      what,
      cut.take.begin,
      cut.take.end(),
      cut.whole,
      format.name,
      size,
      what,
      plane.name,
      size);
}

// How the share lies in memory whose parts are stored with these cells.
Result<WeightLayout> local_layout(const ParamSpec& spec, const WeightLayout& stored) {
  std::vector<Cut> rows;
  int64_t at = 0;
  for (const ParamSource& source : spec.sources) {
    if (source.take.count > 0) {
      rows.push_back({at, source.take, source.rows});
      at += source.take.count;
    }
  }
  const std::vector<Cut> cols{{0, spec.take_cols, spec.cols}};
  WeightLayout local = stored;
  for (int p = 0; p < stored.format->plane_count; ++p) {
    const WeightPlane& plane = stored.format->planes[usize(p)];
    WeightCell& cell = local.cells[usize(p)];
    if (plane.repeatable) {
      cell = {local_side(rows, cell.rows), local_side(cols, cell.cols)};
      continue;
    }
    for (const Cut& cut : rows) {
      if (!between_cells(cut, cell.rows)) {
        return cannot_cut(spec, *stored.format, plane, "rows", cut, cell.rows);
      }
    }
    if (!between_cells(cols.front(), cell.cols)) {
      return cannot_cut(spec, *stored.format, plane, "columns", cols.front(), cell.cols);
    }
  }
  return local;
}

}  // namespace

PlaneSlice StoredWeight::slice(int plane) const {
  const WeightCell cell = layout.cells[usize(plane)];
  const int64_t elements = layout.format->planes[usize(plane)].elements;
  const Range touched = cells_of(cols, cell.cols);
  return {.tensor = planes[usize(plane)],
          .rows = cells_of(rows, cell.rows),
          .cols = {touched.begin * elements, touched.count * elements},
          .tensor_cols = ceil_div(all_cols, cell.cols) * elements};
}

int64_t WeightShare::read_bytes() const {
  int64_t bytes = 0;
  for (const StoredWeight& part : parts) {
    for (int p = 0; p < part.layout.format->plane_count; ++p) {
      bytes += part.slice(p).bytes();
    }
  }
  return bytes;
}

std::string source_name(const ParamSpec& spec, const ParamSource& source, int64_t group) {
  if (spec.groups == 0) {
    return source.name;
  }
  std::string name = source.name;
  const size_t at = name.find("{}");
  TUTTI_CHECK_MSG(at != std::string::npos, "stacked source {} has no {{}}", source.name);
  return name.replace(at, 2, std::to_string(group));
}

const TensorInfo* find_values(const TensorSource& tensors,
                              const std::string& name,
                              const QuantConfig& quant) {
  if (quant.format != nullptr) {
    if (const TensorInfo* values = tensors.find(name + quant.format->planes[0].suffix)) {
      return values;
    }
  }
  return tensors.find(name);
}

Result<WeightShare> find_share(const ParamSpec& spec,
                               const TensorSource& tensors,
                               const QuantConfig& quant) {
  WeightShare share;
  bool uniform = true;
  const Range groups = spec.groups > 0 ? spec.take_groups : Range{0, 1};
  for (int64_t g = groups.begin; g < groups.end(); ++g) {
    for (const ParamSource& source : spec.sources) {
      TUTTI_TRY(StoredWeight part,
                find_weight(spec, source, source_name(spec, source, g), tensors, quant));
      share.parts.push_back(std::move(part));
      uniform = uniform && share.parts.back().layout.format == share.parts.front().layout.format;
    }
  }
  // Parts in different formats meet in f32, which holds every dense one exactly.
  share.layout = WeightLayout::of(kF32Weights);
  if (share.parts.empty()) {
    return share;
  }
  const WeightLayout& stored = share.parts.front().layout;
  if (uniform && (spec.dtype == DTypeRule::kAsStored ||
                  (spec.dtype == DTypeRule::kDense && stored.format->dense()))) {
    TUTTI_TRY(share.layout, local_layout(spec, stored));
  }
  share.converted = !uniform || share.layout.format != stored.format;
  return share;
}

Result<WeightLayout> implied_layout(const ParamSpec& spec, const QuantConfig& quant, DType dense) {
  if (spec.dtype == DTypeRule::kF32) {
    return WeightLayout::of(kF32Weights);
  }
  const bool quantised =
      quant.format != nullptr && spec.dtype == DTypeRule::kAsStored && spec.cols > 0 &&
      !spec.usually_dense &&
      std::all_of(spec.sources.begin(), spec.sources.end(), [&](const ParamSource& source) {
        return quant.converts(source_name(spec, source, 0));
      });
  if (quantised) {
    return local_layout(spec, WeightLayout::of(*quant.format, quant.block));
  }
  const WeightFormat* format = dense_format(dense);
  TUTTI_CHECK(format != nullptr);
  return WeightLayout::of(*format);
}

}  // namespace tutti
