// What the page cache delivers to the threads of a load: the yardstick for the rate of loading. The
// files are read in pieces, by pread into memory that each thread uses again and by memcpy from a
// mapping (whose page faults are part of the price), after a first pass that brings them into the
// cache.
//   read_rate FILE... [--threads 8] [--passes 3] [--piece-kib 2048]
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/status.h"
#include "base/units.h"
#include "device/cpu_device.h"

namespace tutti {
namespace {

struct Options {
  std::vector<std::string> files;
  int64_t threads = std::min(8, available_cpus());
  int64_t passes = 3;
  int64_t piece_kib = 2048;
};

std::string reason() {
  return std::generic_category().message(errno);
}

// Open as long as the program runs.
struct File {
  std::string path;
  int fd = -1;
  int64_t bytes = 0;
};

Result<File> open_file(const std::string& path) {
  File file{.path = path, .fd = open(path.c_str(), O_RDONLY | O_CLOEXEC)};

  struct stat info {};

  if (file.fd < 0 || fstat(file.fd, &info) != 0) {
    return error(StatusCode::kNotFound, "{}: {}", path, reason());
  }
  file.bytes = info.st_size;
  return file;
}

struct Piece {
  const File* file;
  int64_t begin;
  int64_t bytes;
};

Status read_piece(const Piece& piece, std::byte* to) {
  for (int64_t done = 0; done < piece.bytes;) {
    const ssize_t n =
        pread(piece.file->fd, to + done, usize(piece.bytes - done), piece.begin + done);
    if (n <= 0) {
      return error(StatusCode::kUnavailable,
                   "{}: at {}: {}",
                   piece.file->path,
                   piece.begin + done,
                   n == 0 ? "the file became shorter" : reason());
    }
    done += n;
  }
  return ok_status();
}

// Every piece is mapped, copied and unmapped, so that each pass pays for its page faults.
Status copy_piece(const Piece& piece, int flags, std::byte* to) {
  void* map = mmap(
      nullptr, usize(piece.bytes), PROT_READ, MAP_PRIVATE | flags, piece.file->fd, piece.begin);
  if (map == MAP_FAILED) {
    return error(StatusCode::kOutOfMemory, "{}: cannot map: {}", piece.file->path, reason());
  }
  std::memcpy(to, map, usize(piece.bytes));
  munmap(map, usize(piece.bytes));
  return ok_status();
}

template <class Read>
Result<double> seconds_of_pass(const std::vector<Piece>& pieces,
                               const Options& options,
                               const Read& read) {
  std::atomic<size_t> next{0};
  std::vector<Status> results(usize(options.threads));
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> threads;
    threads.reserve(results.size());
    for (Status& result : results) {
      threads.emplace_back([&] {
        // Two buffers in turns, as a load has them: one is sent while the other is filled.
        std::vector<std::byte> buffers(usize(2 * options.piece_kib * 1024));
        size_t turn = 0;
        for (size_t i = next++; i < pieces.size() && result.ok(); i = next++) {
          turn ^= 1U;
          result = read(pieces[i], buffers.data() + turn * usize(options.piece_kib * 1024));
        }
      });
    }
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  for (const Status& result : results) {
    TUTTI_RETURN_IF_ERROR(result);
  }
  return elapsed.count();
}

Status measure(const Options& options) {
  std::vector<File> files;
  for (const std::string& path : options.files) {
    TUTTI_TRY(File file, open_file(path));
    files.push_back(std::move(file));
  }
  std::vector<Piece> pieces;
  int64_t total = 0;
  for (const File& file : files) {
    total += file.bytes;
    for (int64_t begin = 0; begin < file.bytes; begin += options.piece_kib * 1024) {
      pieces.push_back({&file, begin, std::min(options.piece_kib * 1024, file.bytes - begin)});
    }
  }
  const auto rate = [total](double seconds) { return static_cast<double>(total) / seconds / 1e9; };
  TUTTI_TRY(const double first, seconds_of_pass(pieces, options, read_piece));
  std::cout << fmt::format(
      "{} in {} files, {} threads, pieces of {} KiB; GB = 1e9 bytes, best of {} passes\n"
      "first pass, pread          {:6.2f} GB/s (from the disk, if they were not cached)\n",
      format_bytes(total),
      files.size(),
      options.threads,
      options.piece_kib,
      options.passes,
      rate(first));
  const auto report = [&](const char* name, const auto& read) -> Status {
    double best = 1e30;
    for (int64_t pass = 0; pass < options.passes; ++pass) {
      TUTTI_TRY(const double seconds, seconds_of_pass(pieces, options, read));
      best = std::min(best, seconds);
    }
    std::cout << fmt::format("{:26} {:6.2f} GB/s\n", name, rate(best));
    return ok_status();
  };
  TUTTI_RETURN_IF_ERROR(report("pread", read_piece));
  TUTTI_RETURN_IF_ERROR(report("memcpy from a mapping",
                               [](const Piece& p, std::byte* to) { return copy_piece(p, 0, to); }));
  return report("the same, populated first",
                [](const Piece& p, std::byte* to) { return copy_piece(p, MAP_POPULATE, to); });
}

Result<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    int64_t* value = argument == "--threads"     ? &options.threads
                     : argument == "--passes"    ? &options.passes
                     : argument == "--piece-kib" ? &options.piece_kib
                                                 : nullptr;
    if (value == nullptr) {
      options.files.push_back(argument);
      continue;
    }
    *value = i + 1 < argc ? std::atoll(argv[++i]) : 0;
    if (*value < 1 || *value > 1 << 20) {
      return invalid("{}: wanted a number from 1 to 1048576", argument);
    }
  }
  if (options.files.empty() || options.piece_kib % 4 != 0) {  // a mapping begins at a page
    return invalid("usage: read_rate FILE... [--threads N] [--passes N] [--piece-kib N, of 4]");
  }
  return options;
}

Status run(int argc, char** argv) {
  TUTTI_TRY(const Options options, parse(argc, argv));
  return measure(options);
}

}  // namespace
}  // namespace tutti

int main(int argc, char** argv) {
  const tutti::Status status = tutti::run(argc, argv);
  if (!status.ok()) {
    std::cerr << "read_rate: " << status.message() << "\n";
    return 1;
  }
  return 0;
}
