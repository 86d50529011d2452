#include "loader/weight_loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <unordered_set>

#include "base/checked.h"
#include "loader/stored_values.h"

namespace tutti {

namespace {

// Sources are copied in pieces of about this size, each dropped from the page cache mapping before
// the next, so that loading needs the weights once in memory and not twice.
constexpr int64_t kPieceBytes = int64_t{16} << 20;
constexpr size_t kListed = 5;  // names shown of a longer list
// A config.json with absurd numbers can imply billions of tensors; counting stops here.
constexpr size_t kMaxMissing = 1000;

struct ResolvedSource {
  const TensorRef* tensor = nullptr;
  const TensorRef* scale = nullptr;  // nullptr: dense
};

std::string source_name(const ParamSpec& spec, const ParamSource& source, int64_t group) {
  if (spec.groups == 0) {
    return source.name;
  }
  std::string name = source.name;
  const size_t at = name.find("{}");
  TUTTI_CHECK_MSG(at != std::string::npos, "stacked source {} has no {{}}", source.name);
  return name.replace(at, 2, std::to_string(group));
}

// "model.x.weight" -> "model.x.weight_scale_inv", the name DeepSeek's checkpoints use.
std::string scale_name(const std::string& weight) {
  return weight + "_scale_inv";
}

std::string dims_text(const std::vector<int64_t>& dims) {
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

Status check_shape(const std::string& name,
                   const TensorRef& ref,
                   const std::vector<int64_t>& wanted) {
  if (ref.entry->dims == wanted) {
    return ok_status();
  }
  const std::vector<int64_t> reversed(wanted.rbegin(), wanted.rend());
  return error(StatusCode::kInvalidArgument,
               "{}: {}: shape {}, wanted {}{}",
               ref.file->path(),
               name,
               dims_text(ref.entry->dims),
               dims_text(wanted),
               wanted.size() == 2 && ref.entry->dims == reversed
                   ? "; is the checkpoint transposed?"
                   : "; does config.json belong to these weights?");
}

}  // namespace

struct WeightLoader::Item {
  std::vector<ResolvedSource> sources;  // group-major: groups x spec.sources
  DType dtype = DType::kF32;            // of the local tensor
  bool quantized = false;               // local tensor keeps e4m3 + scales
};

Result<WeightLoader::Item> WeightLoader::resolve(Param& param) const {
  const ParamSpec& spec = param.spec();
  Item item;
  bool first = true;
  bool uniform = true;
  DType stored = DType::kF32;
  bool stored_quantized = false;
  const Range groups = spec.groups > 0 ? spec.take_groups : Range{0, 1};
  for (int64_t g = groups.begin; g < groups.end(); ++g) {
    for (const ParamSource& source : spec.sources) {
      const std::string name = source_name(spec, source, g);
      ResolvedSource resolved{.tensor = checkpoint_->find(name)};
      if (resolved.tensor == nullptr) {
        return error(StatusCode::kNotFound, "{}", name);
      }
      const TensorRef& ref = *resolved.tensor;
      const DType dtype = ref.entry->dtype;
      if (!is_float(dtype)) {
        return error(StatusCode::kInvalidArgument,
                     "{}: {}: dtype {}, wanted F32, F16, BF16 or F8_E4M3",
                     ref.file->path(),
                     name,
                     dtype_name(dtype));
      }
      TUTTI_RETURN_IF_ERROR(check_shape(name,
                                        ref,
                                        spec.cols == 0
                                            ? std::vector<int64_t>{source.rows}
                                            : std::vector<int64_t>{source.rows, spec.cols}));
      if (dtype == DType::kF8E4M3) {
        const std::string scale = scale_name(name);
        resolved.scale = checkpoint_->find(scale);
        if (spec.cols == 0 || !quant_.fp8_blocks || resolved.scale == nullptr) {
          return error(StatusCode::kInvalidArgument,
                       "{}: {}: dtype F8_E4M3 needs {} and quantization_config in config.json; {} "
                       "is missing",
                       ref.file->path(),
                       name,
                       scale,
                       resolved.scale == nullptr ? scale : "quantization_config");
        }
        if (!is_float(resolved.scale->entry->dtype)) {
          return error(StatusCode::kInvalidArgument,
                       "{}: {}: dtype {}, wanted F32",
                       resolved.scale->file->path(),
                       scale,
                       dtype_name(resolved.scale->entry->dtype));
        }
        TUTTI_RETURN_IF_ERROR(check_shape(
            scale,
            *resolved.scale,
            {ceil_div(source.rows, quant_.block_rows), ceil_div(spec.cols, quant_.block_cols)}));
      }
      const bool quantized = resolved.scale != nullptr;
      uniform = uniform && (first || (dtype == stored && quantized == stored_quantized));
      stored = dtype;
      stored_quantized = quantized;
      first = false;
      item.sources.push_back(resolved);
    }
  }
  // Parts in different formats meet in f32, which holds every one of them exactly.
  const bool keep = uniform && (spec.dtype == DTypeRule::kAsStored ||
                                (spec.dtype == DTypeRule::kDense && !stored_quantized));
  item.dtype = keep ? stored : DType::kF32;
  item.quantized = keep && stored_quantized;
  return item;
}

int64_t WeightLoader::item_read_bytes(const ParamSpec& spec, const Item& item) const {
  const int64_t cols = spec.cols > 0 ? spec.take_cols.count : 1;
  int64_t bytes = 0;
  for (size_t i = 0; i < item.sources.size(); ++i) {
    const ParamSource& source = spec.sources[i % spec.sources.size()];
    const ResolvedSource& resolved = item.sources[i];
    bytes += source.take.count * cols * dtype_size(resolved.tensor->entry->dtype);
    if (resolved.scale != nullptr) {
      bytes +=
          scale_blocks(spec, source, quant_).count() * dtype_size(resolved.scale->entry->dtype);
    }
  }
  return bytes;
}

Result<LoadPlan> WeightLoader::plan(const std::vector<std::string>& ignored_prefixes) {
  TUTTI_RETURN_IF_ERROR(registry_.status());
  LoadPlan plan;
  std::unordered_set<std::string> used;
  std::vector<std::string> missing;
  Status wrong;
  for (Param& param : registry_.params()) {
    if (param.is_derived_ || !param.constant().empty() || checkpoint_ == nullptr) {
      continue;
    }
    const ParamSpec& spec = param.spec();
    // Every group counts as used: with expert parallelism other ranks read the other groups.
    for (int64_t g = 0; g < std::max<int64_t>(spec.groups, 1); ++g) {
      for (const ParamSource& source : spec.sources) {
        const std::string name = source_name(spec, source, g);
        used.insert(name);
        used.insert(scale_name(name));
        if (checkpoint_->find(name) == nullptr && missing.size() < kMaxMissing) {
          missing.push_back(name);
        }
      }
      if (missing.size() >= kMaxMissing) {
        break;
      }
    }
    if (missing.size() >= kMaxMissing) {
      break;
    }
    Result<Item> item = resolve(param);
    if (!item.ok()) {
      if (wrong.ok() && item.status().code() != StatusCode::kNotFound) {
        wrong = std::move(item).status();
      }
      continue;
    }
    const int64_t elements = spec.local_shape().numel();
    plan.read_bytes += item_read_bytes(spec, *item);
    if (param.derivation() != nullptr) {
      const int64_t f32_bytes = elements * dtype_size(DType::kF32);
      plan.peak_extra_bytes = std::max(plan.peak_extra_bytes, 2 * f32_bytes);
      plan.weight_bytes +=  // the derived outputs
          item->quantized ? f32_bytes : elements * dtype_size(item->dtype);
    }
    if (param.derivation() == nullptr || param.derivation()->keep_source) {
      plan.weight_bytes += elements * dtype_size(item->dtype);
    }
  }
  if (!missing.empty()) {
    const size_t shown = std::min(missing.size(), kListed);
    return error(
        StatusCode::kInvalidArgument,
        "{}: the checkpoint lacks {}{} of the tensors that config.json implies: {}{}; is the "
        "download complete, "
        "and does config.json belong to it?",
        checkpoint_->directory(),
        missing.size() < kMaxMissing ? "" : "at least ",
        missing.size(),
        fmt::join(missing.begin(), missing.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
        missing.size() > shown ? ", ..." : "");
  }
  TUTTI_RETURN_IF_ERROR(wrong);
  if (checkpoint_ != nullptr) {
    for (const std::string& name : checkpoint_->names()) {
      const bool ignored =
          name.ends_with("rotary_emb.inv_freq") ||
          std::any_of(ignored_prefixes.begin(),
                      ignored_prefixes.end(),
                      [&name](const std::string& p) { return name.starts_with(p); });
      if (!ignored && !used.contains(name)) {
        plan.unexpected.push_back(name);
      }
    }
  }
  return plan;
}

void WeightLoader::finish_read(const TensorRef& ref, const std::byte* begin, int64_t bytes) {
  ref.file->drop(begin, bytes);
  if (progress_) {
    progress_(read_bytes_);
  }
}

Status WeightLoader::load(Device& device, const std::function<void(int64_t)>& progress) {
  progress_ = progress;
  stream_ = device.new_stream();
  for (Param& param : registry_.params()) {
    if (!param.constant().empty()) {
      TUTTI_RETURN_IF_ERROR(load_constant(param, device));
    } else if (!param.is_derived_) {
      TUTTI_RETURN_IF_ERROR(load_param(param, device));
    }
  }
  return stream_->synchronize();
}

Status WeightLoader::load_constant(Param& param, Device& device) {
  const std::vector<float>& values = param.constant();
  TUTTI_TRY(param.data_,
            Tensor::empty(device, DType::kF32, {ssize(values.size())}, param.spec().name));
  return device.copy_from_host(
      param.data_.view().raw(), values.data(), ssize(values.size() * sizeof(float)), *stream_);
}

Status WeightLoader::load_param(Param& param, Device& device) {
  const ParamSpec& spec = param.spec();
  TUTTI_TRY(const Item item, resolve(param));
  const bool matrix = spec.cols > 0;
  const int64_t cols = matrix ? spec.take_cols.count : 1;
  const int64_t source_cols = matrix ? spec.cols : 1;
  const int64_t col_begin = matrix ? spec.take_cols.begin : 0;
  TUTTI_TRY(param.data_, Tensor::empty(device, item.dtype, spec.local_shape(), spec.name));
  std::vector<std::byte> staging;
  auto* to = static_cast<std::byte*>(param.data_.view().raw());
  size_t index = 0;
  const Range groups = spec.groups > 0 ? spec.take_groups : Range{0, 1};
  for (int64_t g = groups.begin; g < groups.end(); ++g) {
    for (const ParamSource& source : spec.sources) {
      const ResolvedSource& resolved = item.sources[index++];
      const DType stored = resolved.tensor->entry->dtype;
      const int64_t stored_size = dtype_size(stored);
      const int64_t local_size = dtype_size(item.dtype);
      const bool direct = stored == item.dtype && cols == source_cols;
      if (resolved.scale != nullptr && !item.quantized) {  // multiplied in below
        const ScaleBlocks blocks = scale_blocks(spec, source, quant_);
        std::vector<float> checked;
        TUTTI_RETURN_IF_ERROR(read_scales(*resolved.scale, blocks, checked));
        read_bytes_ += blocks.count() * dtype_size(resolved.scale->entry->dtype);
      }
      const int64_t piece_rows = std::max<int64_t>(1, kPieceBytes / (source_cols * stored_size));
      for (int64_t r = source.take.begin; r < source.take.end(); r += piece_rows) {
        const int64_t rows = std::min(piece_rows, source.take.end() - r);
        const std::byte* from = resolved.tensor->data() + r * source_cols * stored_size;
        const int64_t local_bytes = rows * cols * local_size;
        const std::byte* host = from;
        if (!direct) {
          staging.resize(usize(local_bytes));
          for (int64_t i = 0; i < rows; ++i) {
            const std::byte* row = from + (i * source_cols + col_begin) * stored_size;
            std::byte* out = staging.data() + i * cols * local_size;
            if (stored == item.dtype) {
              std::memcpy(out, row, usize(cols * local_size));
              continue;
            }
            for (int64_t c = 0; c < cols; ++c) {
              const float scale = resolved.scale == nullptr
                                      ? 1.0F
                                      : scale_at(*resolved.scale,
                                                 (r + i) / quant_.block_rows,
                                                 (col_begin + c) / quant_.block_cols);
              reinterpret_cast<float*>(out)[c] = element(row, stored, c) * scale;
            }
          }
          host = staging.data();
        }
        TUTTI_RETURN_IF_ERROR(device.copy_from_host(to, host, local_bytes, *stream_));
        to += local_bytes;
        read_bytes_ += rows * cols * stored_size;
        finish_read(*resolved.tensor, from, rows * source_cols * stored_size);
      }
    }
  }
  if (item.quantized) {
    TUTTI_RETURN_IF_ERROR(load_scales(param, item, device));
  }
  if (param.derivation() != nullptr) {
    TUTTI_RETURN_IF_ERROR(derive(param, device, item.quantized ? DType::kF32 : item.dtype));
  }
  return ok_status();
}

Status WeightLoader::load_scales(Param& param, const Item& item, Device& device) {
  const ParamSpec& spec = param.spec();
  // One table for all groups: every group is cut alike.
  std::vector<int32_t> scale_row;
  int64_t rows_per_group = 0;
  for (const ParamSource& source : spec.sources) {
    const Range blocks = blocks_of(source.take, quant_.block_rows);
    for (int64_t r = source.take.begin; r < source.take.end(); ++r) {
      scale_row.push_back(narrow<int32_t>(rows_per_group + r / quant_.block_rows - blocks.begin));
    }
    rows_per_group += blocks.count;
  }
  std::vector<float> scales;
  for (size_t index = 0; index < item.sources.size(); ++index) {
    const TensorRef& ref = *item.sources[index].scale;
    const ScaleBlocks blocks =
        scale_blocks(spec, spec.sources[index % spec.sources.size()], quant_);
    TUTTI_RETURN_IF_ERROR(read_scales(ref, blocks, scales));
    read_bytes_ += blocks.count() * dtype_size(ref.entry->dtype);
  }
  const int64_t col_count = blocks_of(spec.take_cols, quant_.block_cols).count;
  Shape shape;
  if (spec.groups > 0) {
    shape.push_back(spec.take_groups.count);
  }
  shape.push_back(rows_per_group);
  shape.push_back(col_count);
  TUTTI_TRY(param.scales_, Tensor::empty(device, DType::kF32, shape, spec.name + " scales"));
  TUTTI_TRY(
      param.scale_row_,
      Tensor::empty(device, DType::kI32, {ssize(scale_row.size())}, spec.name + " scale rows"));
  param.block_k_ = quant_.block_cols;
  param.phase_k_ = spec.take_cols.begin % quant_.block_cols;
  TUTTI_RETURN_IF_ERROR(device.copy_from_host(
      param.scales_.view().raw(), scales.data(), ssize(scales.size() * sizeof(float)), *stream_));
  return device.copy_from_host(param.scale_row_.view().raw(),
                               scale_row.data(),
                               ssize(scale_row.size() * sizeof(int32_t)),
                               *stream_);
}

Result<std::vector<std::byte>> WeightLoader::fetch(ConstTensorView tensor, Device& device) {
  std::vector<std::byte> host(usize(tensor.bytes()));
  TUTTI_RETURN_IF_ERROR(device.copy_to_host(host.data(), tensor.raw(), tensor.bytes(), *stream_));
  TUTTI_RETURN_IF_ERROR(stream_->synchronize());
  return host;
}

// Runs on the host: sources of derivations are small (one layer's projection).
Status WeightLoader::derive(Param& param, Device& device, DType stored) {
  const Derivation& derivation = *param.derivation();
  const ConstTensorView view = param.data_.view();
  TUTTI_TRY(const std::vector<std::byte> host, fetch(view, device));
  std::vector<std::byte> scale_bytes;
  std::vector<std::byte> row_bytes;
  if (param.scales_.defined()) {
    TUTTI_TRY(scale_bytes, fetch(param.scales_.view(), device));
    TUTTI_TRY(row_bytes, fetch(param.scale_row_.view(), device));
  }
  const int64_t cols = view.dim(-1);
  std::vector<float> source(usize(view.numel()));
  for (int64_t i = 0; i < view.numel(); ++i) {
    float value = element(host.data(), view.dtype(), i);
    if (param.scales_.defined()) {
      const int32_t row = reinterpret_cast<const int32_t*>(row_bytes.data())[i / cols];
      const int64_t col = (i % cols + param.phase_k_) / param.block_k_;
      value *=
          reinterpret_cast<const float*>(scale_bytes.data())[row * param.scales_.shape()[1] + col];
    }
    source[usize(i)] = value;
  }
  std::vector<std::vector<float>> results;
  std::vector<TensorView> outputs;
  for (const Derivation::Output& output : derivation.outputs) {
    results.emplace_back(usize(output.shape.numel()));
    outputs.emplace_back(results.back().data(), DType::kF32, output.shape);
  }
  derivation.compute({source.data(), DType::kF32, view.shape()}, outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    Param& derived = *param.derived_[i];
    TUTTI_TRY(derived.data_,
              Tensor::empty(device, stored, outputs[i].shape(), derived.spec().name));
    std::vector<std::byte> converted(usize(derived.data_.view().bytes()));
    for (int64_t e = 0; e < outputs[i].numel(); ++e) {
      store_dense(converted.data(), stored, e, results[i][usize(e)]);
    }
    TUTTI_RETURN_IF_ERROR(device.copy_from_host(
        derived.data_.view().raw(), converted.data(), ssize(converted.size()), *stream_));
  }
  if (!derivation.keep_source) {
    param.data_ = Tensor();
    param.scales_ = Tensor();
    param.scale_row_ = Tensor();
  }
  return ok_status();
}

Result<int64_t> WeightLoader::dummy_bytes(DType dtype) const {
  constexpr int64_t kLimit = int64_t{1} << 56;  // leaves room to add up over ranks
  int64_t total = 0;
  for (const Param& param : registry_.params()) {
    if (param.is_derived_) {  // takes the place of its source
      continue;
    }
    const Shape shape = param.spec().local_shape();
    std::vector<int64_t> factors{
        dtype_size(param.spec().dtype == DTypeRule::kF32 ? DType::kF32 : dtype)};
    for (int i = 0; i < shape.rank(); ++i) {
      factors.push_back(shape[i]);
    }
    const std::optional<int64_t> bytes = checked_product(factors);
    if (!bytes || *bytes > kLimit - total) {
      return error(StatusCode::kOutOfMemory,
                   "{}: shape {} needs more memory than any machine has",
                   param.spec().name,
                   shape.to_string());
    }
    total += *bytes;
  }
  return total;
}

namespace {

// Pseudo-random values of one amplitude, converted once and handed out in turns: a benchmark of a
// large model should not spend minutes on its weights. The period is prime, so that rows differ.
class DummyValues {
 public:
  static constexpr int64_t kPeriod = 1048573;

  DummyValues(DType dtype, float amplitude, uint64_t& state)
      : size_(dtype_size(dtype)), values_(usize(kPeriod * size_)) {
    for (int64_t i = 0; i < kPeriod; ++i) {
      state ^= state >> 12U;  // xorshift64*: good enough to keep values apart
      state ^= state << 25U;
      state ^= state >> 27U;
      const float uniform =
          static_cast<float>((state * 0x2545F4914F6CDD1DULL) >> 40U) * 0x1p-24F - 0.5F;
      store_dense(values_.data(), dtype, i, uniform * amplitude);
    }
  }

  /// Fills `count` elements, going on where the last call ended.
  void fill(std::byte* to, int64_t count) {
    while (count > 0) {
      const int64_t n = std::min(count, kPeriod - at_);
      std::memcpy(to, values_.data() + at_ * size_, usize(n * size_));
      to += n * size_;
      count -= n;
      at_ = (at_ + n) % kPeriod;
    }
  }

 private:
  int64_t size_;
  std::vector<std::byte> values_;
  int64_t at_ = 0;
};

}  // namespace

Status WeightLoader::load_dummy(Device& device, DType dtype, uint64_t seed) {
  TUTTI_RETURN_IF_ERROR(registry_.status());
  stream_ = device.new_stream();
  uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 0x1234567ULL;
  std::map<std::pair<DType, int64_t>, DummyValues> matrices;  // by type and columns
  std::vector<std::byte> piece;
  for (Param& param : registry_.params()) {
    const ParamSpec& spec = param.spec();
    if (param.is_derived_) {
      continue;
    }
    if (!param.constant().empty()) {
      TUTTI_RETURN_IF_ERROR(load_constant(param, device));
      continue;
    }
    const DType local = spec.dtype == DTypeRule::kF32 ? DType::kF32 : dtype;
    TUTTI_TRY(param.data_, Tensor::empty(device, local, spec.local_shape(), spec.name));
    const int64_t n = param.data_.view().numel();
    piece.resize(usize(std::min<int64_t>(n, kPieceBytes) * dtype_size(local)));
    DummyValues* values = nullptr;
    if (spec.cols > 0) {
      const float amplitude = 2.0F / std::sqrt(static_cast<float>(spec.cols));
      values = &matrices.try_emplace({local, spec.cols}, local, amplitude, state).first->second;
    } else {
      for (int64_t i = 0; i < std::min(n, kPieceBytes); ++i) {
        store_dense(piece.data(), local, i, 1.0F);
      }
    }
    for (int64_t begin = 0; begin < n; begin += kPieceBytes) {
      const int64_t count = std::min(kPieceBytes, n - begin);
      if (values != nullptr) {
        values->fill(piece.data(), count);
      }
      auto* to = static_cast<std::byte*>(param.data_.view().raw()) + begin * dtype_size(local);
      TUTTI_RETURN_IF_ERROR(
          device.copy_from_host(to, piece.data(), count * dtype_size(local), *stream_));
    }
    if (param.derivation() != nullptr) {
      TUTTI_RETURN_IF_ERROR(derive(param, device, local));
    }
  }
  return stream_->synchronize();
}

}  // namespace tutti
