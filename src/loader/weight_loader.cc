#include "loader/weight_loader.h"

#include <algorithm>
#include <unordered_set>

#include "base/checked.h"
#include "loader/slice_reader.h"
#include "loader/stored_values.h"

namespace tutti {

namespace {

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

void WeightLoader::count_read(int64_t bytes) {
  read_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  if (done_ != nullptr) {
    done_->fetch_add(bytes, std::memory_order_relaxed);
  }
}

Status WeightLoader::load_all(Device& device,
                              const UploadOptions& options,
                              const std::function<Status(Param&)>& load_one) {
  stream_ = device.new_stream();
  // Of this frame: its threads end before what `load_one` refers to goes, also if it throws.
  TUTTI_TRY(std::unique_ptr<Uploader> uploader, Uploader::create(device, *stream_, options));
  uploader_ = uploader.get();
  Status status;
  for (Param& param : registry_.params()) {
    if (status.ok() && !param.is_derived_) {
      status = param.constant().empty() ? load_one(param) : load_constant(param, device);
    }
  }
  if (status.ok()) {
    status = uploader->finish();
  }
  uploader_ = nullptr;
  uploader.reset();
  Status copied = stream_->synchronize();
  return status.ok() ? copied : status;
}

Status WeightLoader::load(Device& device,
                          const UploadOptions& options,
                          std::atomic<int64_t>* done) {
  done_ = done;
  return load_all(device, options, [&](Param& param) { return load_param(param, device); });
}

Status WeightLoader::load_constant(Param& param, Device& device) {
  const std::vector<float>& values = param.constant();
  TUTTI_TRY(param.data_,
            Tensor::empty(device, DType::kF32, {ssize(values.size())}, param.spec().name));
  return device.copy_from_host(
      param.data_.view().raw(), values.data(), ssize(values.size() * sizeof(float)), *stream_);
}

Result<std::shared_ptr<const SliceReader>> WeightLoader::reader_of(const ParamSpec& spec,
                                                                   const Item& item) {
  const bool matrix = spec.cols > 0;
  auto reader = std::make_shared<SliceReader>(
      item.dtype, matrix ? spec.cols : 1, matrix ? spec.take_cols : Range{0, 1}, quant_);
  for (size_t i = 0; i < item.sources.size(); ++i) {
    const ParamSource& source = spec.sources[i % spec.sources.size()];
    const ResolvedSource& resolved = item.sources[i];
    const TensorRef* scale = item.quantized ? nullptr : resolved.scale;
    TUTTI_RETURN_IF_ERROR(reader->add(*resolved.tensor, source.take, scale));
    if (scale != nullptr) {
      count_read(scale_blocks(spec, source, quant_).count() * dtype_size(scale->entry->dtype));
    }
  }
  return std::shared_ptr<const SliceReader>(std::move(reader));
}

Status WeightLoader::upload(Param& param, Device& device, DType dtype, FillFunction fill) {
  TUTTI_TRY(param.data_,
            Tensor::empty(device, dtype, param.spec().local_shape(), param.spec().name));
  const TensorView view = param.data_.view();
  return uploader_->upload(view.raw(), view.bytes(), std::move(fill));
}

Status WeightLoader::load_param(Param& param, Device& device) {
  TUTTI_TRY(const Item item, resolve(param));
  // The threads of the upload read from it until the last piece is done.
  TUTTI_TRY(std::shared_ptr<const SliceReader> reader, reader_of(param.spec(), item));
  auto fill = [this, reader = std::move(reader)](
                  int64_t begin, int64_t end, std::byte* out) -> Status {
    TUTTI_TRY(const int64_t read, reader->read(begin, end, out));
    count_read(read);
    return ok_status();
  };
  TUTTI_RETURN_IF_ERROR(upload(param, device, item.dtype, std::move(fill)));
  if (item.quantized) {
    TUTTI_RETURN_IF_ERROR(load_scales(param, item, device));
  }
  if (param.derivation() == nullptr) {
    return ok_status();
  }
  return derive(param, device, item.quantized ? DType::kF32 : item.dtype);
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
    count_read(blocks.count() * dtype_size(ref.entry->dtype));
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
  TUTTI_RETURN_IF_ERROR(uploader_->finish());
  TUTTI_TRY(const std::vector<std::byte> host, fetch(view, device));
  std::vector<std::byte> scale_bytes;
  std::vector<std::byte> row_bytes;
  if (param.scales_.defined()) {
    TUTTI_TRY(scale_bytes, fetch(param.scales_.view(), device));
    TUTTI_TRY(row_bytes, fetch(param.scale_row_.view(), device));
  }
  const int64_t cols = view.dim(-1);
  std::vector<float> source(usize(view.numel()));
  to_floats(host.data(), view.dtype(), view.numel(), source.data());
  for (int64_t i = 0; param.scales_.defined() && i < view.numel(); ++i) {
    const int32_t row = reinterpret_cast<const int32_t*>(row_bytes.data())[i / cols];
    const int64_t col = (i % cols + param.phase_k_) / param.block_k_;
    source[usize(i)] *=
        reinterpret_cast<const float*>(scale_bytes.data())[row * param.scales_.shape()[1] + col];
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

}  // namespace tutti
