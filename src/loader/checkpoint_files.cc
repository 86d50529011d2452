#include "loader/checkpoint_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <system_error>

#include "base/file.h"

namespace tutti {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWeights = ".safetensors";
constexpr std::string_view kIndex = ".safetensors.index.json";

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (name.front() != '.') {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> ending_with(const std::vector<std::string>& names,
                                     std::initializer_list<std::string_view> endings) {
  std::vector<std::string> found;
  std::copy_if(names.begin(), names.end(), std::back_inserter(found), [&](const std::string& name) {
    return std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) {
      return name.ends_with(ending);
    });
  });
  return found;
}

std::string listed(const std::vector<std::string>& names) {
  constexpr size_t kMost = 8;
  const size_t shown = std::min(names.size(), kMost);
  return fmt::format(
      "{}{}",
      fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
      shown < names.size() ? ", …" : "");
}

struct ShardName {
  std::string prefix;  // "model"
  int number = 0;      // from 1
  int count = 0;
};

std::optional<int> digits(std::string_view text) {
  constexpr size_t kMost = 6;
  const bool number =
      !text.empty() && text.size() <= kMost &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return number ? std::optional(std::stoi(std::string(text))) : std::nullopt;
}

// "model-00001-of-00002.safetensors"
std::optional<ShardName> parse_shard(std::string_view name) {
  name.remove_suffix(kWeights.size());
  const size_t of = name.rfind("-of-");
  if (of == std::string_view::npos || of == 0) {
    return std::nullopt;
  }
  const size_t dash = name.rfind('-', of - 1);
  if (dash == std::string_view::npos) {
    return std::nullopt;
  }
  const std::optional<int> number = digits(name.substr(dash + 1, of - dash - 1));
  const std::optional<int> count = digits(name.substr(of + 4));
  if (!number || !count) {
    return std::nullopt;
  }
  return ShardName{.prefix = std::string(name.substr(0, dash)), .number = *number, .count = *count};
}

std::vector<std::string> paths_of(const std::string& directory,
                                  const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  std::transform(names.begin(), names.end(), std::back_inserter(paths), [&](const std::string& n) {
    return join_path(directory, n);
  });
  return paths;
}

Status unclear(const std::string& directory, const std::vector<std::string>& weights) {
  return error(StatusCode::kNotFound,
               "{}: holds {} and no index says which belong together; leave those of one model "
               "there, or add model.safetensors.index.json from its repository",
               directory,
               listed(weights));
}

// Shards without their index: all of one model must be there.
Result<CheckpointFiles> numbered_shards(const std::string& directory,
                                        const std::vector<std::string>& weights) {
  std::set<std::pair<std::string, int>> models;
  std::set<int> numbers;
  for (const std::string& name : weights) {
    const std::optional<ShardName> shard = parse_shard(name);
    if (!shard) {
      return unclear(directory, weights);
    }
    models.emplace(shard->prefix, shard->count);
    numbers.insert(shard->number);
  }
  if (models.size() != 1 || numbers.size() != weights.size()) {
    return unclear(directory, weights);
  }
  const auto& [prefix, count] = *models.begin();
  if (*numbers.begin() != 1 || *numbers.rbegin() != count ||
      numbers.size() != static_cast<size_t>(count)) {
    int missing = 1;
    while (numbers.contains(missing)) {
      ++missing;
    }
    return error(StatusCode::kNotFound,
                 "{}: {} of {} shards are there, number {} is not; the download is not complete",
                 directory,
                 numbers.size(),
                 count,
                 missing);
  }
  return CheckpointFiles{.index = {}, .weights = paths_of(directory, weights)};
}

// There is nothing that could be read: what is there instead?
Status no_weights(const std::string& directory, const std::vector<std::string>& names) {
  if (const auto gguf = ending_with(names, {".gguf"}); !gguf.empty()) {
    return error(StatusCode::kUnsupported,
                 "{}: found {} and no *.safetensors; GGUF files are not read yet. Download the "
                 "safetensors form of this model (the repository without GGUF in its name)",
                 directory,
                 listed(gguf));
  }
  if (const auto pickled = ending_with(names, {".bin", ".pt", ".pth", ".pkl", ".ckpt"});
      !pickled.empty()) {
    return error(StatusCode::kUnsupported,
                 "{}: found {} but no model.safetensors; pickled weights can run code and are not "
                 "read. Download the safetensors form of this model",
                 directory,
                 pickled[0]);
  }
  return error(StatusCode::kNotFound,
               "{}: neither model.safetensors nor model.safetensors.index.json nor another "
               "*.safetensors is there; is the download complete?",
               directory);
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(), [&](std::string_view beginning) {
    return text.starts_with(beginning);
  });
}

}  // namespace

Result<CheckpointFiles> find_checkpoint_files(const std::string& directory) {
  const std::vector<std::string> names = names_in(directory);
  const auto there = [&](const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (there("model.safetensors.index.json")) {
    return CheckpointFiles{.index = join_path(directory, "model.safetensors.index.json"),
                           .weights = {}};
  }
  if (there("model.safetensors")) {
    return CheckpointFiles{.index = {}, .weights = {join_path(directory, "model.safetensors")}};
  }
  if (const auto indices = ending_with(names, {kIndex}); indices.size() == 1) {
    return CheckpointFiles{.index = join_path(directory, indices[0]), .weights = {}};
  }
  std::vector<std::string> weights = ending_with(names, {kWeights});
  if (std::erase(weights, "adapter_model.safetensors") > 0 && weights.empty()) {
    return error(StatusCode::kUnsupported,
                 "{}: holds a LoRA adapter (adapter_model.safetensors) and no model; merge it into "
                 "its model first",
                 directory);
  }
  if (weights.empty()) {
    return no_weights(directory, names);
  }
  if (weights.size() == 1 && !parse_shard(weights[0])) {
    return CheckpointFiles{.index = {}, .weights = paths_of(directory, weights)};
  }
  return numbered_shards(directory, weights);
}

Status check_weight_file(const std::string& path) {
  std::error_code ec;
  if (fs::is_symlink(path, ec) && !fs::exists(path, ec)) {
    return error(StatusCode::kNotFound,
                 "{}: is a link to {}, which is not there; copy what links lead to (cp -L), or "
                 "download it again",
                 path,
                 fs::read_symlink(path, ec).string());
  }
  if (!fs::is_regular_file(path, ec)) {
    return ok_status();  // opening says what it is
  }
  constexpr size_t kEnough = 64;
  std::string begin(kEnough, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<size_t>(file.gcount()));
  constexpr size_t kHeader = 8;  // behind the header's length
  if (begin.size() > kHeader && begin[kHeader] == '{') {
    return ok_status();
  }
  const auto is = [&](const char* what, const char* next) {
    return error(StatusCode::kCorrupt, "{}: is {}; {}", path, what, next);
  };
  if (starts_with_any(begin, {"version https://git-lfs"})) {
    return is("a pointer of Git LFS and not the weights", "git lfs pull, or hf download");
  }
  if (starts_with_any(begin, {"<!DOCTYPE", "<!doctype", "<html", "<HTML", "<?xml"})) {
    return is("a web page and not the weights", "does the download need an account?");
  }
  if (starts_with_any(begin, {"GGUF"})) {
    return error(StatusCode::kUnsupported,
                 "{}: is a GGUF file by its content; GGUF files are not read yet. Download the "
                 "safetensors form of this model",
                 path);
  }
  // Zip archives of torch.save, and bare pickles of protocol 2 to 5.
  if (starts_with_any(begin, {"PK\x03\x04"}) ||
      (begin.size() > 1 && begin[0] == '\x80' && begin[1] >= 2 && begin[1] <= 5 &&
       begin.find("\x8a\x0al\xfc\x9c") != std::string::npos)) {
    return error(StatusCode::kUnsupported,
                 "{}: holds pickled weights by its content, which can run code and are not read. "
                 "Download the safetensors form of this model",
                 path);
  }
  return ok_status();
}

}  // namespace tutti
