#include "loader/weight_loader.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "loader/slice_reader.h"
#include "loader/weight_share.h"

namespace tutti {

namespace {

// Places of a stored plane's entries in the local one, along one side: entry i of the local cells
// is entry first + i * local / stored of the part's.
int64_t stored_entry(Range take, int64_t local_side, int64_t stored_side, int64_t i) {
  return (take.begin + i * local_side) / stored_side - take.begin / stored_side;
}

// Appends one part's entries, repeated for the local cells.
void append_entries(const StoredWeight& part,
                    const WeightLayout& local,
                    int plane,
                    const std::vector<std::byte>& stored,
                    std::vector<std::byte>& out) {
  const WeightPlane& format = local.format->planes[usize(plane)];
  const WeightCell from = part.layout.cells[usize(plane)];
  const WeightCell to = local.cells[usize(plane)];
  const int64_t entry = format.elements * dtype_size(format.dtype);
  const int64_t row_bytes = part.slice(plane).cols.count * dtype_size(format.dtype);
  for (int64_t r = 0; r < ceil_div(part.rows.count, to.rows); ++r) {
    const std::byte* row =
        stored.data() + stored_entry(part.rows, to.rows, from.rows, r) * row_bytes;
    for (int64_t c = 0; c < ceil_div(part.cols.count, to.cols); ++c) {
      const std::byte* at = row + stored_entry(part.cols, to.cols, from.cols, c) * entry;
      out.insert(out.end(), at, at + entry);
    }
  }
}

}  // namespace

Result<WeightShare> WeightLoader::resolve(Param& param) const {
  TUTTI_TRY(WeightShare share, find_share(param.spec(), *tensors_, quant_));
  param.layout_ = share.layout;
  const WeightFormat& format = *share.layout.format;
  for (Param* derived : param.derived_) {
    derived->layout_ = WeightLayout::of(format.dense() ? format : *dense_format(types_.derived));
  }
  return share;
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
  device_ = &device;
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
  TUTTI_RETURN_IF_ERROR(param.allocate(device));
  return device.copy_from_host(
      param.planes_[0].view().raw(), values.data(), ssize(values.size() * sizeof(float)), *stream_);
}

Status WeightLoader::load_param(Param& param, Device& device) {
  TUTTI_TRY(const WeightShare share, resolve(param));
  TUTTI_RETURN_IF_ERROR(param.allocate(device));
  if (share.converted) {
    TUTTI_RETURN_IF_ERROR(load_converted(param, share));
  } else {
    for (int p = 0; p < share.layout.format->plane_count; ++p) {
      TUTTI_RETURN_IF_ERROR(load_plane(param, share, p));
    }
  }
  return param.derivation() == nullptr ? ok_status() : derive(param, device);
}

Status WeightLoader::upload(Param& param, int plane, std::shared_ptr<const SliceReader> reader) {
  const TensorView view = param.planes_[usize(plane)].view();
  // The threads of the upload read from it until the last piece is done.
  return uploader_->upload(
      view.raw(),
      view.bytes(),
      [this, reader = std::move(reader)](int64_t begin, int64_t end, std::byte* out) -> Status {
        TUTTI_TRY(const int64_t read, reader->read(begin, end, out));
        count_read(read);
        return ok_status();
      });
}

Status WeightLoader::load_converted(Param& param, const WeightShare& share) {
  auto reader = std::make_shared<SliceReader>(*tensors_);
  for (const StoredWeight& part : share.parts) {
    TUTTI_TRY(const int64_t read, reader->add_as_floats(part));
    count_read(read);
  }
  return upload(param, 0, std::move(reader));
}

Status WeightLoader::load_plane(Param& param, const WeightShare& share, int plane) {
  const WeightPlane& format = share.layout.format->planes[usize(plane)];
  if (format.repeatable || format.from_any_float) {
    return load_small_plane(param, share, plane);
  }
  auto reader = std::make_shared<SliceReader>(*tensors_);
  for (const StoredWeight& part : share.parts) {
    reader->add(part.slice(plane));
  }
  return upload(param, plane, std::move(reader));
}

Status WeightLoader::load_small_plane(Param& param, const WeightShare& share, int plane) {
  std::vector<std::byte> entries;
  for (const StoredWeight& part : share.parts) {
    const PlaneSlice slice = part.slice(plane);
    TUTTI_TRY(const std::vector<std::byte> stored,
              read_plane(*tensors_, slice, share.layout.format->planes[usize(plane)]));
    count_read(slice.bytes());
    append_entries(part, share.layout, plane, stored, entries);
  }
  const TensorView view = param.planes_[usize(plane)].view();
  TUTTI_CHECK_EQ(ssize(entries.size()), view.bytes());
  return device_->copy_from_host(view.raw(), entries.data(), view.bytes(), *stream_);
}

Result<std::vector<std::byte>> WeightLoader::fetch(ConstTensorView plane, Device& device) {
  std::vector<std::byte> host(usize(plane.bytes()));
  TUTTI_RETURN_IF_ERROR(device.copy_to_host(host.data(), plane.raw(), plane.bytes(), *stream_));
  TUTTI_RETURN_IF_ERROR(stream_->synchronize());
  return host;
}

// Runs on the host: sources of derivations are small (one layer's projection).
Status WeightLoader::derive(Param& param, Device& device) {
  const Derivation& derivation = *param.derivation();
  TUTTI_RETURN_IF_ERROR(uploader_->finish());
  WeightView weight = param.weight();
  std::array<std::vector<std::byte>, kMaxWeightPlanes> host;
  for (size_t p = 0; p < usize(weight.format().plane_count); ++p) {
    TUTTI_TRY(host[p], fetch(weight.planes[p], device));
    weight.planes[p] = {host[p].data(), weight.planes[p].dtype(), weight.planes[p].shape()};
  }
  std::vector<float> source(usize(weight.shape.numel()));
  for (int64_t g = 0; g < weight.groups(); ++g) {
    for (int64_t n = 0; n < weight.rows(); ++n) {
      weight.format().dequantise(
          weight.row(g, n), weight.cols(), source.data() + (g * weight.rows() + n) * weight.cols());
    }
  }
  std::vector<std::vector<float>> results;
  std::vector<TensorView> outputs;
  for (const Derivation::Output& output : derivation.outputs) {
    results.emplace_back(usize(output.shape.numel()));
    outputs.emplace_back(results.back().data(), DType::kF32, output.shape);
  }
  derivation.compute({source.data(), DType::kF32, weight.shape}, outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    Param& derived = *param.derived_[i];
    TUTTI_RETURN_IF_ERROR(derived.allocate(device));
    const TensorView view = derived.planes_[0].view();
    std::vector<std::byte> converted(usize(view.bytes()));
    for (int64_t e = 0; e < view.numel(); ++e) {
      store_dense(converted.data(), view.dtype(), e, results[i][usize(e)]);
    }
    TUTTI_RETURN_IF_ERROR(
        device.copy_from_host(view.raw(), converted.data(), view.bytes(), *stream_));
  }
  if (!derivation.keep_source) {
    param.free();
  }
  return ok_status();
}

}  // namespace tutti
