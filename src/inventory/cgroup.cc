#include "inventory/cgroup.h"

#include <algorithm>
#include <string>
#include <vector>

namespace tutti {

namespace {

// Version 1 says "no limit" by the largest multiple of a page; nobody has 4 EiB.
constexpr int64_t kNoLimit = int64_t{1} << 62;

// Where one hierarchy is mounted, and which of its groups is mounted there.
struct Mount {
  std::string root;   // "/docker/0123", or "/"
  std::string point;  // "/sys/fs/cgroup/memory"
};

struct Hierarchy {
  bool v2 = false;
  std::string group;  // of this process
  std::vector<Mount> mounts;
};

// mountinfo writes blanks and backslashes as \040 and so on.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto octal = [&](size_t at) { return text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool contains(std::string_view list, std::string_view word) {
  const std::vector<std::string_view> words = split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Lines such as "31 23 0:28 /docker/12 /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw".
std::vector<Mount> find_mounts(const System& system, bool v2) {
  std::vector<Mount> mounts;
  const std::string text = system.read("/proc/self/mountinfo").value_or("");
  for (const std::string_view line : split(text, '\n')) {
    const size_t dash = line.find(" - ");
    const std::vector<std::string_view> front = split(line.substr(0, dash), ' ');
    if (dash == std::string_view::npos || front.size() < 5) {
      continue;
    }
    const std::vector<std::string_view> back = split(line.substr(dash + 3), ' ');
    if (v2 ? back[0] == "cgroup2"
           : back[0] == "cgroup" && back.size() > 2 && contains(back[2], "memory")) {
      mounts.push_back({.root = unescape(front[3]), .point = unescape(front[4])});
    }
  }
  if (mounts.empty()) {
    mounts.push_back({.root = "/", .point = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"});
  }
  return mounts;
}

// Lines such as "4:memory:/user.slice" and "0::/user.slice".
std::vector<Hierarchy> find_hierarchies(const System& system) {
  std::vector<Hierarchy> found;
  const std::string text = system.read("/proc/self/cgroup").value_or("");
  for (const std::string_view line : split(text, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) {
      continue;
    }
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = line.substr(0, first) == "0" && controllers.empty();
    if (v2 || contains(controllers, "memory")) {
      found.push_back({.v2 = v2,
                       .group = std::string(line.substr(second + 1)),
                       .mounts = find_mounts(system, v2)});
    }
  }
  return found;
}

// The group's path below the mount. A group elsewhere in the hierarchy ("/../x", or one of the host
// that is not mounted here) is taken for what is mounted: the container's own.
std::string below_mount(const std::string& group, const Mount& mount) {
  const std::string root = mount.root == "/" ? "" : mount.root;
  const bool inside =
      group.starts_with(root) && (group.size() == root.size() || group[root.size()] == '/');
  return inside && group.find("/..") == std::string::npos ? group.substr(root.size()) : "";
}

void take_smaller(std::optional<int64_t>& least, std::optional<int64_t> limit) {
  if (limit && *limit >= 0 && *limit < kNoLimit) {
    least = least ? std::min(*least, *limit) : *limit;
  }
}

// "hierarchical_memory_limit 1073741824": includes groups above the mount.
std::optional<int64_t> hierarchical_limit(const System& system, const std::string& directory) {
  constexpr std::string_view kName = "hierarchical_memory_limit ";
  const std::string stat = system.read(directory + "/memory.stat").value_or("");
  for (const std::string_view line : split(stat, '\n')) {
    if (line.starts_with(kName)) {
      return to_int(line.substr(kName.size()));
    }
  }
  return std::nullopt;
}

// Of one group, not of those around it.
void take_limits_of(const System& system,
                    const std::string& directory,
                    bool v2,
                    std::optional<int64_t>& least) {
  const char* file = v2 ? "/memory.max" : "/memory.limit_in_bytes";
  take_smaller(least, to_int(system.read(directory + file).value_or("")));  // "max" is no number
  if (!v2) {
    take_smaller(least, hierarchical_limit(system, directory));
  }
}

// "/a/b" -> "/a" -> "".
std::string parent(const std::string& group) {
  const size_t slash = group.rfind('/');
  return group.substr(0, slash == std::string::npos ? 0 : slash);
}

// Of the directories of the process's groups from its own outwards, the mount point last.
std::vector<std::string> directories_of(const Hierarchy& hierarchy) {
  std::vector<std::string> out;
  for (const Mount& mount : hierarchy.mounts) {
    for (std::string group = below_mount(hierarchy.group, mount); !group.empty();
         group = parent(group)) {
      out.push_back(mount.point + group);
    }
    out.push_back(mount.point);
  }
  return out;
}

void take_quota(std::optional<double>& least,
                std::optional<int64_t> quota,
                std::optional<int64_t> period) {
  if (quota && period && *quota > 0 && *period > 0) {
    const double cpus = static_cast<double>(*quota) / static_cast<double>(*period);
    least = least ? std::min(*least, cpus) : cpus;
  }
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const System& system) {
  std::optional<double> least;
  for (const Hierarchy& hierarchy : find_hierarchies(system)) {
    if (!hierarchy.v2) {
      continue;
    }
    for (const std::string& directory : directories_of(hierarchy)) {
      // "200000 100000", or "max 100000".
      const std::string text = system.read(directory + "/cpu.max").value_or("");
      const size_t blank = text.find(' ');
      take_quota(least,
                 to_int(std::string_view(text).substr(0, blank)),
                 blank == std::string::npos ? std::nullopt
                                            : to_int(std::string_view(text).substr(blank + 1)));
    }
  }
  // Version 1; a container has its own group mounted there. -1: none.
  const auto read = [&](const char* name) {
    return to_int(system.read(std::string("/sys/fs/cgroup/cpu/") + name).value_or(""));
  };
  take_quota(least, read("cpu.cfs_quota_us"), read("cpu.cfs_period_us"));
  return least;
}

std::optional<int64_t> cgroup_oom_kills(const System& system) {
  constexpr std::string_view kName = "oom_kill ";
  for (const Hierarchy& hierarchy : find_hierarchies(system)) {
    for (const std::string& directory : directories_of(hierarchy)) {
      const std::string events =
          system.read(directory + (hierarchy.v2 ? "/memory.events" : "/memory.oom_control"))
              .value_or("");
      for (const std::string_view line : split(events, '\n')) {
        if (line.starts_with(kName)) {
          return to_int(line.substr(kName.size()));
        }
      }
    }
  }
  return std::nullopt;
}

std::optional<int64_t> cgroup_memory_limit(const System& system) {
  std::optional<int64_t> least;
  for (const Hierarchy& hierarchy : find_hierarchies(system)) {
    for (const std::string& directory : directories_of(hierarchy)) {
      take_limits_of(system, directory, hierarchy.v2, least);
    }
  }
  return least;
}

}  // namespace tutti
