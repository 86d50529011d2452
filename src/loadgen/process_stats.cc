#include "loadgen/process_stats.h"

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <unistd.h>

namespace tutti::loadgen {

Result<ProcessStats> process_stats(int64_t pid) {
  // Not read_file(): files of /proc have no size.
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // The name in parentheses may hold anything, so count from its end.
  const size_t end = text.rfind(')');
  if (end == std::string::npos) {
    return error(StatusCode::kNotFound,
                 "‹server_pid› {}: cannot read /proc/{}/stat; is there such a process on this "
                 "machine?",
                 pid,
                 pid);
  }
  std::istringstream fields(text.substr(end + 1));
  // proc(5): state is field 3; utime 14, stime 15, rss 24 (pages).
  std::string word;
  ProcessStats out;
  double ticks = 0;
  for (int field = 3; field <= 24 && fields >> word; ++field) {
    if (field == 14 || field == 15) {
      ticks += std::strtod(word.c_str(), nullptr);
    } else if (field == 24) {
      out.resident_bytes = std::strtoll(word.c_str(), nullptr, 10) * sysconf(_SC_PAGESIZE);
    }
  }
  out.cpu_seconds = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  return out;
}

double own_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace tutti::loadgen
