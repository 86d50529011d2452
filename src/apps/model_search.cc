#include "apps/model_search.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "apps/common.h"
#include "apps/model_parts.h"
#include "base/ascii.h"
#include "base/file.h"
#include "plan/catalogue.h"

namespace tutti {

namespace fs = std::filesystem;

namespace {

constexpr const char* kDefaultModel = "tiny-r1";
constexpr std::string_view kRepository = "models--";  // of folders in the cache
constexpr size_t kMostNamed = 8;                      // in one message

std::string home_expanded(const std::string& path, const std::string& home) {
  return path == "~" || path.starts_with("~/") ? home + path.substr(1) : path;
}

bool has_config(const std::string& directory) {
  return file_exists(join_path(directory, "config.json"));
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// "models--org--name" of "org/name".
std::string folder_of(std::string name) {
  if (const size_t slash = name.find('/'); slash != std::string::npos) {
    name.replace(slash, 1, "--");
  }
  return std::string(kRepository) + name;
}

/// "org/name" of "models--org--name"; "" of anything else.
std::string name_of(const std::string& folder) {
  if (!folder.starts_with(kRepository) || folder.size() == kRepository.size()) {
    return {};
  }
  std::string name = folder.substr(kRepository.size());
  if (const size_t dashes = name.find("--"); dashes != std::string::npos) {
    name.replace(dashes, 2, "/");
  }
  return name;
}

/// The snapshot that a folder of the cache holds: the one refs/main names, else the only one.
Result<std::string> snapshot_in(const std::string& folder) {
  const std::string snapshots = join_path(folder, "snapshots");
  std::vector<std::string> whole;
  for (const std::string& revision : names_in(snapshots)) {
    if (has_config(join_path(snapshots, revision))) {
      whole.push_back(revision);
    }
  }
  Result<std::string> main = read_file(join_path(folder, "refs/main"), 4096);
  if (main.ok()) {
    main->erase(main->find_last_not_of(" \r\n") + 1);
    if (std::find(whole.begin(), whole.end(), *main) != whole.end()) {
      return join_path(snapshots, *main);
    }
    return error(StatusCode::kNotFound,
                 "{}: snapshot {}, which refs/main names, has no config.json; the download is not "
                 "complete: hf download {}{}",
                 folder,
                 *main,
                 name_of(fs::path(folder).filename().string()),
                 whole.empty() ? "" : ", or give another snapshot: " + listed(whole, kMostNamed));
  }
  if (whole.size() == 1) {
    return join_path(snapshots, whole[0]);
  }
  if (whole.empty()) {
    return error(StatusCode::kNotFound,
                 "{}: none of its snapshots has a config.json; the download is not complete: hf "
                 "download {}",
                 folder,
                 name_of(fs::path(folder).filename().string()));
  }
  return error(StatusCode::kNotFound,
               "{}: has no refs/main and several snapshots; give one of them: {}/{{{}}}",
               folder,
               snapshots,
               listed(whole, kMostNamed));
}

/// What ends with one of the endings, of the names.
std::vector<std::string> ending_with(const std::vector<std::string>& names,
                                     std::string_view ending) {
  std::vector<std::string> found;
  std::copy_if(names.begin(), names.end(), std::back_inserter(found), [&](const std::string& name) {
    return name.ends_with(ending);
  });
  return found;
}

bool is_model_file(const std::string& path) {
  return file_exists(path) && !is_directory(path) &&
         (path.ends_with(".safetensors") || path.ends_with(".gguf") || path.ends_with(".json"));
}

/// What a file that was typed is, if it is none of those that are read.
const char* other_file(const std::string& path) {
  const auto ends = [&path](std::initializer_list<const char*> endings) {
    return std::any_of(
        endings.begin(), endings.end(), [&](const char* ending) { return path.ends_with(ending); });
  };
  if (ends({".bin", ".pt", ".pth", ".pkl", ".ckpt"})) {
    return "holds pickled weights, which can run code and are not read; download the safetensors "
           "form of this model: hf download ORGANISATION/NAME";
  }
  if (ends({".tar", ".tar.gz", ".tgz", ".zip", ".7z", ".zst", ".xz"})) {
    return "is an archive; unpack it and give the directory with config.json";
  }
  return "is a file, and none of a model; a model is a directory with config.json, tokenizer.json "
         "and *.safetensors";
}

/// Of a model's files the one that was typed: its directory is meant.
Result<std::string> directory_of_file(const std::string& file) {
  const fs::path path = file;
  const std::string name = path.filename().string();
  const std::string directory = path.has_parent_path() ? path.parent_path().string() : ".";
  if (name.ends_with(".gguf")) {
    return error(StatusCode::kUnsupported,
                 "{}: GGUF files are not read yet; download the safetensors form of this model "
                 "(the repository without GGUF in its name): {}",
                 file,
                 download_command(directory));
  }
  const bool whole = name == "config.json" || name == "model.safetensors" ||
                     name.ends_with(".safetensors.index.json") ||
                     (name.ends_with(".safetensors") && name.find("-of-") != std::string::npos) ||
                     ending_with(names_in(directory), ".safetensors") == std::vector{name};
  if (whole && has_config(directory)) {
    return directory;
  }
  return error(StatusCode::kNotFound,
               "{}: is a file; a model is a directory with config.json, tokenizer.json and "
               "*.safetensors{}",
               file,
               has_config(directory) ? "; give " + directory : "");
}

/// A path that exists, as a directory with a model in it if there is one to be seen.
Result<std::string> resolve_path(const std::string& path) {
  if (!is_directory(path)) {
    return directory_of_file(path);
  }
  std::error_code ec;
  const std::string folder = fs::weakly_canonical(path, ec).filename().string();
  if (!has_config(path) && !name_of(folder).empty() && is_directory(join_path(path, "snapshots"))) {
    return snapshot_in(path);
  }
  return path;
}

// Names come from people and scripts: letters, digits and "._-", at most one slash, no "..".
bool plain_name(const std::string& name) {
  int slashes = 0;
  for (const char c : name) {
    slashes += c == '/' ? 1 : 0;
    if (!(std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-' ||
          c == '/')) {
      return false;
    }
  }
  return slashes <= 1 && !name.empty() && name.front() != '/' &&
         name.find("..") == std::string::npos;
}

/// "org/name" of an address of the hub, or of a name with a tag behind it as Ollama and llama.cpp
/// have it; "" of anything else.
std::string repository_of(std::string typed) {
  bool address = false;
  for (const char* beginning :
       {"https://", "http://", "hf://", "huggingface.co/", "hf.co/", "www."}) {
    const size_t length = std::string_view(beginning).size();
    if (typed.starts_with(beginning)) {
      typed.erase(0, length);
      address = true;
    }
  }
  for (const char* host : {"huggingface.co/", "hf.co/"}) {
    typed.erase(0, typed.starts_with(host) ? std::string_view(host).size() : 0);
  }
  const size_t slash = typed.find('/');
  if (slash == std::string::npos || slash == 0) {
    return {};
  }
  const size_t end = std::min(typed.find_first_of("/?#:", slash + 1), typed.size());
  const bool tag = end < typed.size() && typed[end] == ':';
  const std::string name = typed.substr(0, end);
  return (address || tag) && plain_name(name) && !name.ends_with('/') ? name : "";
}

// Typed as a path, so that no name is meant.
bool is_path(const std::string& typed) {
  return typed.starts_with('/') || typed.starts_with('.') || typed.starts_with('~');
}

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

/// Models of the cache that `name` may mean: written otherwise, or without the organisation.
std::vector<std::string> similar_names(const std::string& cache, const std::string& name) {
  std::vector<std::string> found;
  for (const std::string& folder : names_in(cache)) {
    const std::string full = name_of(folder);
    const std::string last = full.substr(full.find('/') + 1);
    if (!full.empty() && (same_letters(full, name) || same_letters(last, name))) {
      found.push_back(full);
    }
  }
  return found;
}

bool is_gguf_repository(const std::string& name) {
  return name.find('/') != std::string::npos && to_lower(name).ends_with("-gguf");
}

// Whoever made the files of a repository in GGUF is seldom who made the model.
std::string gguf_repository(const std::string& name) {
  const std::string model = name.substr(name.find('/') + 1, name.rfind('-') - name.find('/') - 1);
  return fmt::format(
      "{} holds GGUF files, which are not read yet; the model itself is in a repository without "
      "GGUF "
      "in its name: tutti models {}, or hf download ORGANISATION/{}",
      name,
      model,
      model);
}

Status not_found(const std::string& name,
                 const std::vector<std::string>& places,
                 const Environment& environment) {
  const std::vector<std::string> similar = similar_names(environment.hf_cache, name);
  if (!similar.empty()) {
    return error(StatusCode::kNotFound,
                 "model \"{}\" was not found; {} holds {}: give that name",
                 name,
                 environment.hf_cache,
                 listed(similar, kMostNamed));
  }
  if (is_gguf_repository(name)) {
    return error(StatusCode::kNotFound, "{}", gguf_repository(name));
  }
  const std::string repository =
      name.find('/') == std::string::npos ? "ORGANISATION/" + name : name;
  return error(StatusCode::kNotFound,
               "model \"{}\" was not found; looked for a directory of that name and in {}. Give a "
               "directory, a name of tutti models, or download it: hf download {} --local-dir {}",
               name,
               fmt::join(places, ", "),
               repository,
               join_path(environment.home, "models/" + name));
}

}  // namespace

std::string listed(const std::vector<std::string>& names, size_t most) {
  const size_t shown = std::min(names.size(), most);
  return fmt::format(
      "{}{}",
      fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
      shown < names.size() ? ", …" : "");
}

std::string hub_cache(std::string (*get)(const char* variable)) {
  const std::string home = get("HOME");
  for (const char* variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const std::string path = get(variable); !path.empty()) {
      return home_expanded(path, home);
    }
  }
  if (const std::string path = get("HF_HOME"); !path.empty()) {
    return join_path(home_expanded(path, home), "hub");
  }
  if (const std::string path = get("XINFERENCE_HOME"); !path.empty()) {
    return join_path(home_expanded(path, home), "huggingface");
  }
  const std::string xdg = get("XDG_CACHE_HOME");
  return join_path(xdg.empty() ? join_path(home, ".cache") : home_expanded(xdg, home),
                   "huggingface/hub");
}

Result<std::string> find_model(const std::string& model, const Environment& environment) {
  const std::string typed = model.empty() ? kDefaultModel : model;
  const std::string path = home_expanded(typed, environment.user_home);
  if (is_directory(path) || is_model_file(path)) {
    return resolve_path(path);
  }
  if (const std::string name = repository_of(typed); !name.empty()) {
    if (is_gguf_repository(name)) {
      return error(StatusCode::kNotFound, "{}: {}", typed, gguf_repository(name));
    }
    return error(StatusCode::kNotFound,
                 "{}: a model is given as {}, after: hf download {}",
                 typed,
                 name,
                 name);
  }
  if (is_path(typed) || !plain_name(typed)) {
    return error(StatusCode::kNotFound,
                 "{}: {}",
                 typed,
                 file_exists(path) ? other_file(path)
                                   : "no such model directory; tutti models lists names that can "
                                     "be given instead of one");
  }
  const std::string cached = name_of(path);
  const std::string& name = cached.empty() ? path : cached;
  std::vector<std::string> places{join_path(environment.home, "models/" + name)};
  if (name == kDefaultModel) {
    // The model that ships with the program: installed, beside a copied program, or in the source
    // tree the program was built in.
    for (const char* place :
         {"../share/tutti/models/tiny-r1", "tiny-r1", "../../../models/tiny-r1/checkpoint"}) {
      places.push_back(fs::path(join_path(environment.program, place)).lexically_normal().string());
    }
  }
  for (const std::string& place : places) {
    if (has_config(place)) {
      return fs::path(place).lexically_normal().string();
    }
  }
  // Links to what Xinference has downloaded, by its own names.
  for (const char* cache : {"cache/v2/", "cache/"}) {
    const std::string place = join_path(environment.xinference_home, cache + name);
    if (!environment.xinference_home.empty() && has_config(place)) {
      return place;
    }
  }
  const std::string folder = join_path(environment.hf_cache, folder_of(name));
  if (is_directory(folder)) {
    return snapshot_in(folder);
  }
  if (is_directory(places[0])) {
    return places[0];  // it holds something: who needs more of it says what is missing
  }
  if (name == kDefaultModel) {
    return error(
        StatusCode::kNotFound,
        "model \"{}\", which ships with tutti, was not found: looked in {}. Copy the whole "
        "installation (bin and share), or that model to {}; or give another MODEL",
        name,
        fmt::join(places, ", "),
        places[2]);
  }
  places.push_back(folder);
  return not_found(name, places, environment);
}

bool can_be_no_model(const std::string& typed) {
  for (const char* path : {"/", "~/", "./", "../"}) {
    if (typed.starts_with(path)) {
      return false;
    }
  }
  return std::any_of(typed.begin(), typed.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) == 0 &&
           std::string_view("._-/:@~").find(c) == std::string_view::npos;
  });
}

std::string display_name(const std::string& model) {
  if (model.empty()) {
    return kDefaultModel;
  }
  if (!is_directory(model) && !is_model_file(model)) {
    const std::string cached = name_of(model);
    return cached.empty() ? model : cached;
  }
  std::error_code ec;
  fs::path full = fs::weakly_canonical(model, ec);
  if (!is_directory(model)) {
    full = fs::weakly_canonical(fs::path(model).parent_path() / ".", ec);
  }
  if (full.filename().empty()) {
    full = full.parent_path();
  }
  // …/models--ORG--NAME, or …/models--ORG--NAME/snapshots/REVISION.
  const bool snapshot = full.parent_path().filename() == "snapshots";
  const fs::path folder = snapshot ? full.parent_path().parent_path() : full;
  const std::string cached = name_of(folder.filename().string());
  return cached.empty() ? full.filename().string() : cached;
}

Status check_model_directory(const std::string& directory) {
  if (!is_directory(directory)) {
    return ok_status();  // loading says the rest
  }
  TUTTI_RETURN_IF_ERROR(check_json_files(directory));
  if (has_config(directory)) {
    return ok_status();
  }
  const std::vector<std::string> names = names_in(directory);
  const auto holds = [&](std::string_view ending) { return !ending_with(names, ending).empty(); };
  const auto missing = [&](const std::string& next) {
    return error(StatusCode::kNotFound, "{}: has no config.json; {}", directory, next);
  };
  if (holds(".gguf")) {
    return error(StatusCode::kUnsupported,
                 "{}: holds {} and no config.json; GGUF files are not read yet: download the "
                 "safetensors form of this model (the repository without GGUF in its name): {}",
                 directory,
                 listed(ending_with(names, ".gguf"), kMostNamed),
                 download_command(directory));
  }
  std::vector<std::string> models;
  std::vector<std::string> cached;
  for (const std::string& name : names) {
    if (has_config(join_path(directory, name))) {
      models.push_back(name);
    }
    if (!name_of(name).empty()) {
      cached.push_back(name_of(name));
    }
  }
  if (!models.empty()) {
    return missing(fmt::format(
        "a model is in {}: give {}", listed(models, kMostNamed), join_path(directory, models[0])));
  }
  if (!cached.empty()) {
    return missing(
        fmt::format("it is a cache of models: give a name, {}", listed(cached, kMostNamed)));
  }
  if (holds("adapter_config.json")) {
    return missing(fmt::format(
        "it is a LoRA adapter and no model: merge it into its model, python3 -c \"from peft import "
        "AutoPeftModelForCausalLM as M; from transformers import AutoTokenizer as T; "
        "M.from_pretrained('{0}').merge_and_unload().save_pretrained('{1}'); "
        "T.from_pretrained('{0}').save_pretrained('{1}')\", and give {1}",
        directory,
        join_path(directory, "merged")));
  }
  if (holds(".onnx") || holds(".engine") || holds(".nemo") || holds(".npz") || holds(".tflite")) {
    return missing(
        "ONNX, TensorRT, NeMo, MLX and TFLite files are not read; download the Hugging "
        "Face form of this model: " +
        download_command(directory));
  }
  if (holds("params.json") || holds("consolidated.safetensors") || holds(".pth")) {
    return missing("the model is in its maker's own format; download its Hugging Face form: " +
                   download_command(directory));
  }
  if (holds(".safetensors")) {
    return missing("weights alone are no model: download the whole repository into it: " +
                   download_command(directory));
  }
  if (names.empty()) {
    return error(StatusCode::kNotFound,
                 "{}: the directory is empty; {} fills it",
                 directory,
                 download_command(directory));
  }
  return error(StatusCode::kNotFound,
               "{}: no such file; a model's directory holds it beside tokenizer.json and "
               "*.safetensors: {}",
               join_path(directory, "config.json"),
               download_command(directory));
}

Result<std::string> find_listed_model(const std::string& model, const Environment& environment) {
  Result<std::string> found = find_model(model, environment);
  if (found.ok() || model.empty() || model.find('/') != std::string::npos) {
    return found;
  }
  TUTTI_TRY(const Catalogue catalogue, Catalogue::load());
  const Result<CatalogueChoice> choice = catalogue.find(model);
  if (choice.ok() && !choice->format.hub.empty()) {
    return find_model(choice->format.hub, environment);
  }
  if (found.status().code() != StatusCode::kNotFound || is_path(model)) {
    return found;
  }
  if (model.find(':') != std::string::npos) {  // NAME:FORMAT, or NAME:TAG as Ollama has it
    return choice.ok() ? error(StatusCode::kNotFound,
                               "model \"{}\" was not found; no repository with {} in {} is known: "
                               "give a directory, or ORGANISATION/NAME",
                               model,
                               choice->model->name,
                               choice->format.name)
                       : choice.status();
  }
  const std::vector<std::string> close = catalogue.close_names(model);
  return close.empty() ? found
                       : error(StatusCode::kNotFound,
                               "{}. Or did you mean {}?",
                               found.status().message(),
                               fmt::join(close, ", "));
}

}  // namespace tutti
