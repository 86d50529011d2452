#include "apps/model_parts.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/model_search.h"
#include "base/file.h"
#include "base/json.h"
#include "loader/checkpoint_files.h"
#include "text/tokenizer.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostNamed = 3;

bool entry_exists(const std::string& path) {
  std::error_code ec;
  return fs::symlink_status(path, ec).type() != fs::file_type::not_found;
}

std::string beginning_of(const std::string& path) {
  std::string text(64, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

// "" for what may be JSON.
std::string no_json(const std::string& path) {
  std::error_code ec;
  if (fs::is_symlink(path, ec) && !fs::exists(path, ec)) {
    return "is a link to nowhere";
  }
  const std::string begin = beginning_of(path);
  if (begin.empty()) {
    return "is empty";
  }
  if (begin.starts_with("version https://git-lfs")) {
    return "is a pointer of Git LFS and not the file (git lfs pull fetches it)";
  }
  if (begin.starts_with('<')) {
    return "is a web page and not the file";
  }
  return {};
}

bool is_unfinished(const std::string& name) {
  constexpr const char* kEndings[] = {
      ".incomplete", ".part", ".partial", ".crdownload", ".aria2", ".download", ".tmp"};
  return std::any_of(std::begin(kEndings), std::end(kEndings), [&](const char* ending) {
    return name.ends_with(ending);
  });
}

// What downloads left: beside the files, in the folder of `hf download --local-dir`, and among the
// blobs of the cache.
std::vector<std::string> unfinished_files(const std::string& directory) {
  std::vector<std::string> found;
  for (const char* folder : {".", ".cache/huggingface/download", "../../blobs"}) {
    if (std::string_view(folder) == "../../blobs" &&
        fs::path(directory).parent_path().filename() != "snapshots") {
      continue;
    }
    std::error_code ec;
    const std::string place = join_path(directory, folder);
    for (fs::directory_iterator it(place, ec), end; !ec && it != end; it.increment(ec)) {
      if (is_unfinished(it->path().filename().string())) {
        found.push_back(it->path().filename().string());
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool has_weights(const std::string& directory) {
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->path().extension() == ".safetensors") {
      return true;
    }
  }
  return false;
}

// Of the index, if there is one that can be read; loading says what is wrong with another.
std::set<std::string> named_shards(const std::string& directory) {
  std::set<std::string> shards;
  const std::string path = join_path(directory, "model.safetensors.index.json");
  if (!file_exists(path)) {
    return shards;
  }
  const Result<Json> index = parse_json_file(path);
  const Json* map = index.ok() ? index->find("weight_map") : nullptr;
  if (map != nullptr && map->is_object()) {
    for (const JsonMember& member : map->as_object()) {
      if (member.value.is_string()) {
        shards.insert(member.value.as_string());
      }
    }
  }
  return shards;
}

// What is there is no weights: the loader's words, and how to get some.
Status check_weights(const std::string& directory) {
  const Result<CheckpointFiles> files = find_checkpoint_files(directory);
  if (!files.ok()) {
    return with_download(files.status(), directory);
  }
  std::vector<std::string> paths = files->weights;
  for (const std::string& shard : named_shards(directory)) {
    paths.push_back(join_path(directory, shard));
  }
  for (const std::string& path : paths) {
    if (const Status status = check_weight_file(path); !status.ok()) {
      return with_download(status, directory);
    }
  }
  return ok_status();
}

// Files of tokenizers that are not read, and whose they are.
std::string other_tokenizer(const std::string& directory) {
  for (const char* name :
       {"tokenizer.model", "spiece.model", "vocab.json", "tekken.json", "vocab.txt"}) {
    if (file_exists(join_path(directory, name))) {
      return name;
    }
  }
  return {};
}

bool has_chat_template(const std::string& directory) {
  if (file_exists(join_path(directory, "chat_template.jinja"))) {
    return true;
  }
  const std::string path = join_path(directory, "tokenizer_config.json");
  const Result<Json> config = file_exists(path) ? parse_json_file(path) : Result<Json>(Json());
  const Json* chat = config.ok() ? config->find("chat_template") : nullptr;
  return chat != nullptr && !chat->is_null();
}

}  // namespace

std::string download_command(const std::string& directory) {
  const std::string name = display_name(directory);
  return name.find('/') != std::string::npos
             ? "hf download " + name
             : fmt::format("hf download ORGANISATION/NAME --local-dir {}", directory);
}

Status with_download(const Status& status, const std::string& directory) {
  std::string message = status.message();
  message.erase(message.find_last_not_of('.') + 1);
  return Status(status.code(), message + "; " + download_command(directory));
}

Status check_json_files(const std::string& directory) {
  for (const char* name : {"config.json",
                           "tokenizer.json",
                           "tokenizer_config.json",
                           "generation_config.json",
                           "model.safetensors.index.json"}) {
    const std::string path = join_path(directory, name);
    if (!entry_exists(path)) {
      continue;
    }
    if (const std::string what = no_json(path); !what.empty()) {
      return error(StatusCode::kCorrupt, "{}: {}; {}", path, what, download_command(directory));
    }
    // A tokenizer is large, and its loader says the same.
    if (std::string_view(name) != "tokenizer.json") {
      if (const Result<Json> parsed = parse_json_file(path); !parsed.ok()) {
        return with_download(Status(StatusCode::kCorrupt, parsed.status().message()), directory);
      }
    }
  }
  return ok_status();
}

Status check_download(const std::string& directory) {
  const std::set<std::string> shards = named_shards(directory);
  std::vector<std::string> missing;
  std::copy_if(shards.begin(), shards.end(), std::back_inserter(missing), [&](const auto& name) {
    return !entry_exists(join_path(directory, name));
  });
  const std::vector<std::string> unfinished = unfinished_files(directory);
  const bool none = shards.empty() && !has_weights(directory) && !unfinished.empty();
  if (missing.empty() && !none) {
    return check_weights(directory);
  }
  const std::string what = none ? std::string("the weights are not there")
                                : fmt::format("{} of {} files of weights are missing ({})",
                                              missing.size(),
                                              shards.size(),
                                              listed(missing, kMostNamed));
  return error(StatusCode::kNotFound,
               "{}: the download is not complete: {}{}; it goes on with: {}",
               directory,
               what,
               unfinished.empty()
                   ? ""
                   : fmt::format(", {} is a part of one", listed(unfinished, kMostNamed)),
               download_command(directory));
}

std::string missing_for_chat(const std::string& directory) {
  if (!Tokenizer::is_in(directory)) {
    const std::string other = other_tokenizer(directory);
    return fmt::format(
        "{}: there is no tokenizer.json{}: the model takes token ids and no text. {}",
        directory,
        other.empty() ? "" : fmt::format(", and {} is not read", other),
        other.empty()
            ? download_command(directory) + " gets it"
            : fmt::format("Python's transformers writes it: python3 -c \"from transformers import "
                          "AutoTokenizer as A; A.from_pretrained('{0}').save_pretrained('{0}')\"",
                          directory));
  }
  if (!has_chat_template(directory)) {
    return fmt::format(
        "{}: there is no chat template (neither chat_template.jinja nor chat_template in "
        "tokenizer_config.json), as base models have none: the model continues text, at "
        "/v1/completions of tutti serve, and does not chat",
        directory);
  }
  return {};
}

}  // namespace tutti
