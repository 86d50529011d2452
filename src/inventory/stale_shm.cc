#include "inventory/stale_shm.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <sys/stat.h>

namespace tutti {

namespace fs = std::filesystem;

namespace {

struct Candidate {
  std::string name;
  int64_t bytes = 0;
  uid_t owner = 0;
  bool used = false;
};

std::vector<Candidate> nccl_files(const System& system) {
  std::vector<Candidate> files;
  for (const std::string& name : system.list("/dev/shm")) {
    struct stat info {};

    if (name.starts_with("nccl-") && lstat(system.path("/dev/shm/" + name).c_str(), &info) == 0 &&
        S_ISREG(info.st_mode)) {
      // What it takes of the file system: NCCL's files are sparse until written.
      files.push_back({.name = name,
                       .bytes = static_cast<int64_t>(info.st_blocks) * 512,
                       .owner = info.st_uid});
    }
  }
  return files;
}

void mark(std::vector<Candidate>& files, std::string_view text) {
  for (Candidate& file : files) {
    // The kernel writes "/dev/shm/nccl-x (deleted)" of one that was removed; ours are there.
    const std::string path = "/dev/shm/" + file.name;
    const size_t at = text.find(path);
    file.used = file.used || (at != std::string_view::npos &&
                              (at + path.size() == text.size() || text[at + path.size()] == '\n'));
  }
}

// Maps and descriptors of one process; false if they are closed to us.
bool mark_used_by(const System& system, const std::string& process, std::vector<Candidate>& files) {
  const std::optional<std::string> maps = system.read(process + "/maps");
  std::error_code ec;
  fs::directory_iterator entry(system.path(process + "/fd"), ec);
  if (!maps || ec) {
    return false;
  }
  mark(files, *maps);
  for (const fs::directory_iterator end; !ec && entry != end; entry.increment(ec)) {
    std::error_code gone;
    mark(files, fs::read_symlink(entry->path(), gone).string());
  }
  return true;
}

}  // namespace

std::vector<StaleFile> stale_nccl_files(const System& system) {
  std::vector<Candidate> files = nccl_files(system);
  if (files.empty()) {  // as a rule: no process is looked at then
    return {};
  }
  // Owners of processes that cannot be looked into. Threads of the kernel and processes that have
  // ended have no memory to look into: no VmSize.
  std::set<uid_t> closed;
  for (const std::string& name : system.list("/proc")) {
    struct stat info {};

    const std::string process = "/proc/" + name;
    if (to_int(name) && !mark_used_by(system, process, files) &&
        system.read(process + "/status").value_or("").find("VmSize:") != std::string::npos &&
        stat(system.path(process).c_str(), &info) == 0) {
      closed.insert(info.st_uid);
    }
  }
  std::vector<StaleFile> stale;
  for (const Candidate& file : files) {
    if (!file.used && !closed.contains(file.owner)) {
      stale.push_back({.name = file.name, .bytes = file.bytes});
    }
  }
  return stale;
}

}  // namespace tutti
