// tutti bench allreduce: how fast ranks sum, by each way there is.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include <unistd.h>

#include "apps/all_reduce_timer.h"
#include "apps/common.h"
#include "apps/machine_inventory.h"
#include "apps/version.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/log.h"
#include "base/option_names.h"
#include "base/units.h"

namespace tutti {

namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;

struct Row {
  std::string via;
  AllReduceCase what;
  AllReduceTimes times;
};

// A way that was not measured, and why.
struct Note {
  std::string via;
  std::string text;
};

struct Report {
  int ranks = 0;
  DType dtype = DType::kBF16;
  bool gpus = false;
  std::vector<Row> rows;
  std::vector<Note> notes;
};

struct Sizes {
  int64_t least = 0;
  int64_t most = 0;
};

Result<Sizes> sizes_of(const BenchAllReduceOptions& o) {
  Sizes sizes;
  TUTTI_TRY(sizes.least, parse_bytes(o.min_bytes));
  TUTTI_TRY(sizes.most, parse_bytes(o.max_bytes));
  if (sizes.least < 4 || sizes.most > kMostBytes || sizes.least > sizes.most) {
    return invalid(
        "‹min_bytes› {} and ‹max_bytes› {}: wanted 4 bytes to 1GiB, the smaller one first",
        o.min_bytes,
        o.max_bytes);
  }
  return sizes;
}

const char* spelled(DType dtype) {
  return dtype == DType::kF32 ? "f32" : "bf16";
}

SumsVia sums_via(const std::string& name) {
  return name == "peer" ? SumsVia::kPeer : name == "nccl" ? SumsVia::kNccl : SumsVia::kHost;
}

bool shows_progress() {
  return isatty(STDERR_FILENO) == 1;
}

// All sizes by one way, on every rank; rank 0's times, and whether all ranks got the right sums.
Status measure(Backend& backend, const std::string& via, const Sizes& sizes, Report& report) {
  TUTTI_TRY(const std::unique_ptr<RankGroup> group,
            RankGroup::start(backend, {.request = {.ranks = report.ranks, .sums = sums_via(via)}}));
  TUTTI_RETURN_IF_ERROR(group->run([](RankHandles& rank) {
    rank.parallel.tp.tune();  // as at load
    return ok_status();
  }));
  for (int64_t bytes = sizes.least; bytes <= sizes.most; bytes *= 2) {
    if (shows_progress()) {
      std::fprintf(stderr, "\r%s, %lld bytes \x1b[K", via.c_str(), static_cast<long long>(bytes));
    }
    for (const bool fused : {false, true}) {
      for (const bool in_graph : {false, true}) {
        const AllReduceCase c{
            .bytes = bytes, .dtype = report.dtype, .fused = fused, .in_graph = in_graph};
        std::vector<std::optional<AllReduceTimes>> of_ranks(usize(report.ranks));
        TUTTI_RETURN_IF_ERROR(group->run([&](RankHandles& rank) -> Status {
          TUTTI_TRY(of_ranks[usize(rank.rank)], time_all_reduce(rank, c));
          return ok_status();
        }));
        if (!of_ranks[0]) {
          continue;
        }
        Row row{.via = via, .what = c, .times = *of_ranks[0]};
        row.times.correct = std::all_of(of_ranks.begin(), of_ranks.end(), [](const auto& times) {
          return times && times->correct;
        });
        report.rows.push_back(std::move(row));
      }
    }
  }
  return ok_status();
}

Json row_json(const Row& row, int ranks) {
  return Json::object(
      {{"bytes", row.what.bytes},
       {"via", row.via},
       {"algorithm", row.times.algorithm},
       {"fused", row.what.fused},
       {"in_graph", row.what.in_graph},
       {"median_seconds", row.times.median_seconds},
       {"p99_seconds", row.times.p99_seconds},
       {"bus_bytes_per_second", bus_rate(row.what.bytes, ranks, row.times.median_seconds)},
       {"correct", row.times.correct}});
}

Json text_or_null(const std::optional<std::string>& text) {
  return text ? Json(*text) : Json();
}

Json report_json(const Report& report, const Inventory& inventory) {
  JsonArray gpus;
  for (size_t i = 0; report.gpus && i < inventory.gpus.size(); ++i) {
    gpus.push_back(text_or_null(inventory.gpus[i].name));
  }
  JsonArray rows;
  for (const Row& row : report.rows) {
    rows.push_back(row_json(row, report.ranks));
  }
  JsonArray notes;
  for (const Note& note : report.notes) {
    notes.push_back(
        Json::object({{"code", "not_measured"}, {"via", note.via}, {"text", note.text}}));
  }
  return Json::object({{"schema", 1},
                       {"machine",
                        Json::object({{"gpus", std::move(gpus)},
                                      {"driver", text_or_null(inventory.driver.version)},
                                      {"nccl", text_or_null(inventory.libraries.nccl)}})},
                       {"commit", program_version()},
                       {"ranks", report.ranks},
                       {"dtype", spelled(report.dtype)},
                       {"rows", std::move(rows)},
                       {"notes", std::move(notes)}});
}

void print(const Report& report) {
  std::cout << fmt::format(
      "{} ranks, {}, one rank's bytes\n\n", report.ranks, spelled(report.dtype));
  std::cout << fmt::format("{:>12}  {:5} {:9} {:22} {:>12} {:>12} {:>9}\n",
                           "bytes",
                           "via",
                           "algorithm",
                           "how",
                           "median us",
                           "p99 us",
                           "GB/s");
  for (const Row& row : report.rows) {
    std::cout << fmt::format(
        "{:12}  {:5} {:9} {:22} {:12.2f} {:12.2f} {:9.1f}{}\n",
        row.what.bytes,
        row.via,
        row.times.algorithm,
        fmt::format("{}{}",
                    row.what.in_graph ? "recorded" : "one by one",
                    row.what.fused ? ", with norm" : ""),
        row.times.median_seconds * 1e6,
        row.times.p99_seconds * 1e6,
        bus_rate(row.what.bytes, report.ranks, row.times.median_seconds) * 1e-9,
        row.times.correct ? "" : "  WRONG SUMS");
  }
  for (const Note& note : report.notes) {
    std::cout << fmt::format("\n{}: not measured: {}\n", note.via, note.text);
  }
}

Status bench(const BenchAllReduceOptions& o, bool& wrong) {
  set_log_level(LogLevel::kWarn);
  TUTTI_TRY(const Sizes sizes, sizes_of(o));
  ModelFlags flags = o.ranks;
  TUTTI_TRY(const std::unique_ptr<Backend> backend, choose_backend(flags));
  Report report{.gpus = !backend->ranks_share_memory()};
  const std::string dtype = !o.dtype.empty() ? o.dtype : report.gpus ? "bf16" : "f32";
  report.dtype = dtype == "f32" ? DType::kF32 : DType::kBF16;
  if (!backend->check_compute(report.dtype).ok()) {
    return invalid("‹dtype› {}: ranks on the CPU sum f32; leave ‹dtype› out", dtype);
  }
  const int wanted = flags.tp > 0 || report.gpus ? flags.tp : 2;
  TUTTI_TRY(const RankChoice choice, backend->choose_ranks(wanted, [] {
    std::vector<int> any(64);
    for (int i = 0; i < 64; ++i) {
      any[usize(i)] = i + 1;
    }
    return any;
  }));
  report.ranks = choice.ranks;
  if (report.ranks < 2) {
    return error(StatusCode::kUnavailable,
                 "one rank sums with nobody: this machine shows one GPU that may be used; "
                 "--ranks-per-gpu 2 puts two ranks on it");
  }
  const std::vector<std::string> ways = !o.via.empty() ? o.via
                                        : report.gpus
                                            ? std::vector<std::string>{"peer", "host", "nccl"}
                                            : std::vector<std::string>{"host"};
  for (const std::string& via : ways) {
    const Status status = measure(*backend, via, sizes, report);
    if (!status.ok() && (!o.via.empty() || status.code() == StatusCode::kDevice)) {
      return status;
    }
    if (!status.ok()) {
      report.notes.push_back({via, spell_options(status.message(), &as_flag)});
    }
  }
  if (shows_progress()) {
    std::fputs("\r\x1b[K", stderr);
  }
  if (o.json) {
    std::cout << to_string(report_json(report, this_inventory())) << "\n";
  } else {
    print(report);
  }
  wrong = std::any_of(
      report.rows.begin(), report.rows.end(), [](const Row& row) { return !row.times.correct; });
  return ok_status();
}

}  // namespace

int bench_all_reduce_command(const BenchAllReduceOptions& options) {
  bool wrong = false;
  const Status status = bench(options, wrong);
  if (!status.ok()) {
    return fail(status);
  }
  return wrong ? fail(error(StatusCode::kDevice,
                            "ranks got wrong sums: see the rows that say so; tutti doctor tests "
                            "how GPUs reach each other"))
               : 0;
}

}  // namespace tutti
