#include "apps/scaling_report.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/units.h"

namespace tutti {

namespace {

const ScalingRun* first_run(const Scaling& scaling) {
  for (const ScalingRun& run : scaling.runs) {
    if (run.ran()) {
      return &run;
    }
  }
  return nullptr;
}

const ScalingRun* last_run(const Scaling& scaling) {
  const ScalingRun* last = nullptr;
  for (const ScalingRun& run : scaling.runs) {
    last = run.ran() ? &run : last;
  }
  return last;
}

std::string ranks_text(int ranks) {
  return fmt::format("{} rank{}", ranks, ranks == 1 ? "" : "s");
}

double share(double part, const StepShares& step) {
  return step.total > 0 ? 100 * part / step.total : 0;
}

std::string rate_text(double bytes_per_second) {
  return fmt::format("{:.1f} GB/s", bytes_per_second / 1e9);
}

void explain_hardware(const Scaling& scaling, std::vector<ScalingNote>& notes) {
  switch (scaling.hardware) {
    case Hardware::kCpu:
      notes.push_back({"shared_cpu",
                       fmt::format("ranks on the CPU share its {} processors and memory: more of "
                                   "them bring no more hardware, so that a speed-up of 1 is all "
                                   "there is to reach. They are for tests of the split",
                                   scaling.cpus)});
      break;
    case Hardware::kOneGpu:
      notes.push_back(
          {"shared_gpu",
           "ranks on one GPU share its memory bandwidth and processors: a speed-up of 1 "
           "is all there is to reach. They are for tests of the split"});
      break;
    case Hardware::kGpus:
      break;
  }
}

// Where the time of the largest run goes that perfect scaling would have saved.
void explain_loss(const Scaling& scaling, std::vector<ScalingNote>& notes) {
  const ScalingRun* first = first_run(scaling);
  const ScalingRun* last = last_run(scaling);
  if (first == nullptr || last == first) {
    return;
  }
  const StepShares& step = last->step;
  const bool shared = scaling.hardware != Hardware::kGpus;
  const double ideal = shared ? first->step.total : first->step.total * first->ranks / last->ranks;
  const double lost = step.total - ideal;
  notes.push_back({"efficiency",
                   fmt::format("at {} a step takes {}; {} would take {}",
                               ranks_text(last->ranks),
                               format_seconds(step.total),
                               shared ? "the same hardware without a split" : "perfect scaling",
                               format_seconds(ideal))});
  if (lost <= 0) {
    notes.push_back({"superlinear",
                     "it is faster than that: each rank reads less, and what it reads "
                     "fits caches better"});
    return;
  }
  const auto of_lost = [&](double seconds) { return std::clamp(100 * seconds / lost, 0.0, 100.0); };
  if (share(step.communication, step) >= 1) {
    notes.push_back({"communication",
                     fmt::format("sums among ranks take {}, {:.0f} % of a step",
                                 format_seconds(step.communication),
                                 share(step.communication, step))});
  }
  const double ideal_compute =
      shared ? first->step.compute : first->step.compute * first->ranks / last->ranks;
  const double extra = step.compute - ideal_compute;
  if (of_lost(extra) >= 5) {
    notes.push_back({"compute",
                     fmt::format("operations of a rank take {} more than {}: matrices are smaller, "
                                 "and norms, routing and sampling are done on every rank",
                                 format_seconds(extra),
                                 shared ? "unsplit" : "their share of one rank's")});
  }
  const double host = step.host - first->step.host;
  if (of_lost(host) >= 5) {
    notes.push_back(
        {"host",
         fmt::format("{} of a step pass between operations ({} with {}): ranks that wait "
                     "for processors or for each other, and launches",
                     format_seconds(step.host),
                     format_seconds(first->step.host),
                     ranks_text(first->ranks))});
  }
}

void explain_links(const Scaling& scaling, std::vector<ScalingNote>& notes) {
  if (!scaling.promised_bytes_per_second || !scaling.measured_bytes_per_second) {
    return;
  }
  const double kept = *scaling.measured_bytes_per_second / *scaling.promised_bytes_per_second;
  notes.push_back(
      {kept < 0.5 ? "links_slow" : "links",
       fmt::format("links promise {} one way, sums of large messages reach {} ({:.0f} %){}",
                   rate_text(*scaling.promised_bytes_per_second),
                   rate_text(*scaling.measured_bytes_per_second),
                   100 * kept,
                   kept < 0.5 ? ": tutti doctor looks at links and peer access" : "")});
}

void explain_idle(const Scaling& scaling, std::vector<ScalingNote>& notes) {
  for (const ScalingRun& run : scaling.runs) {
    if (run.gpu_busy.size() < 2) {
      continue;
    }
    const auto [least, most] = std::minmax_element(run.gpu_busy.begin(), run.gpu_busy.end());
    if (*least < 0.5 * *most) {
      notes.push_back({"idle_gpu",
                       fmt::format("with {} one GPU is busy {:.0f} % of the time, another {:.0f} %",
                                   ranks_text(run.ranks),
                                   100 * *least,
                                   100 * *most)});
    }
  }
}

std::string bar_of(double share, int cells) {
  return std::string(static_cast<size_t>(std::lround(std::clamp(share, 0.0, 1.0) * cells)), '#');
}

Json run_json(const Scaling& scaling, const ScalingRun& run) {
  JsonArray gpus(run.gpus.begin(), run.gpus.end());
  JsonArray busy(run.gpu_busy.begin(), run.gpu_busy.end());
  const auto figure = [&](double value) { return run.ran() ? Json(value) : Json(); };
  return Json::object(
      {{"gpus", Json(std::move(gpus))},
       {"parallel", Json::object({{"tp", run.ranks}, {"pp", 1}, {"dp", 1}, {"ep", 1}})},
       {"batch", scaling.batch},
       {"prompt_tokens", scaling.prompt_tokens},
       {"new_tokens", scaling.new_tokens},
       {"prefill_tokens_per_second", figure(run.prefill_tokens_per_second)},
       {"decode_tokens_per_second", figure(run.decode_tokens_per_second)},
       {"speedup", figure(speedup(scaling, run))},
       {"efficiency", figure(efficiency(scaling, run))},
       {"step_seconds",
        Json::object({{"total", figure(run.step.total)},
                      {"compute", figure(run.step.compute)},
                      {"communication", figure(run.step.communication)},
                      {"host", figure(run.step.host)}})},
       {"gpu_busy", Json(std::move(busy))},
       {"error", run.ran() ? Json() : Json(run.failure)}});
}

}  // namespace

StepShares split_step(double total, double compute, double communication) {
  const double known = compute + communication;
  const double shrink = known > total && known > 0 ? total / known : 1;
  StepShares step{
      .total = total, .compute = compute * shrink, .communication = communication * shrink};
  step.host = std::max(0.0, total - step.compute - step.communication);
  return step;
}

double speedup(const Scaling& scaling, const ScalingRun& run) {
  const ScalingRun* first = first_run(scaling);
  return first == nullptr || !run.ran()
             ? 0
             : first->ranks * run.decode_tokens_per_second / first->decode_tokens_per_second;
}

double efficiency(const Scaling& scaling, const ScalingRun& run) {
  return speedup(scaling, run) / run.ranks;
}

std::vector<ScalingNote> explain(const Scaling& scaling) {
  std::vector<ScalingNote> notes;
  explain_hardware(scaling, notes);
  for (const ScalingRun& run : scaling.runs) {
    if (!run.ran()) {
      notes.push_back({"not_run", fmt::format("{}: {}", ranks_text(run.ranks), run.failure)});
    }
  }
  const ScalingRun* first = first_run(scaling);
  if (first == nullptr) {
    return notes;
  }
  if (first->ranks > 1) {
    notes.push_back({"baseline",
                     fmt::format("{} are the fewest that run; speed-ups count from {} times them",
                                 ranks_text(first->ranks),
                                 first->ranks)});
  }
  explain_loss(scaling, notes);
  explain_links(scaling, notes);
  explain_idle(scaling, notes);
  const ScalingRun* best = first;
  for (const ScalingRun& run : scaling.runs) {
    best = run.ran() && run.decode_tokens_per_second > best->decode_tokens_per_second ? &run : best;
  }
  if (best != last_run(scaling) && scaling.hardware == Hardware::kGpus) {
    notes.push_back({"best",
                     fmt::format("{} are fastest here; tutti plan MODEL with the goal throughput "
                                 "shows what several copies would do",
                                 ranks_text(best->ranks))});
  }
  return notes;
}

Json scaling_json(const Scaling& scaling) {
  JsonArray runs;
  for (const ScalingRun& run : scaling.runs) {
    runs.push_back(run_json(scaling, run));
  }
  JsonArray notes;
  for (const ScalingNote& note : explain(scaling)) {
    notes.push_back(Json::object({{"code", note.code}, {"text", note.text}}));
  }
  const auto rate = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  return Json::object(
      {{"schema", 1},
       {"model", scaling.model},
       {"runs", Json(std::move(runs))},
       {"links",
        Json::object({{"promised_bytes_per_second", rate(scaling.promised_bytes_per_second)},
                      {"measured_bytes_per_second", rate(scaling.measured_bytes_per_second)}})},
       {"notes", Json(std::move(notes))}});
}

std::string scaling_text(const Scaling& scaling) {
  constexpr int kCells = 24;
  double most = 0;
  for (const ScalingRun& run : scaling.runs) {
    most = std::max(most, run.decode_tokens_per_second);
  }
  std::string out = fmt::format("{}, batch {}, {} + {} tokens\n\n",
                                scaling.model,
                                scaling.batch,
                                scaling.prompt_tokens,
                                scaling.new_tokens);
  out += fmt::format("ranks {:<{}} {:>9} {:>6} {:>5}  {:>5} {:>5} {:>5}\n",
                     "decode",
                     kCells,
                     "tok/s",
                     "times",
                     "eff.",
                     "ops",
                     "sums",
                     "host");
  for (const ScalingRun& run : scaling.runs) {
    if (!run.ran()) {
      out += fmt::format("{:>5} not run, see below\n", run.ranks);
      continue;
    }
    out += fmt::format("{:>5} {:<{}} {:>9.1f} {:>6.2f} {:>4.0f}%  {:>4.0f}% {:>4.0f}% {:>4.0f}%\n",
                       run.ranks,
                       bar_of(run.decode_tokens_per_second / std::max(most, 1e-9), kCells),
                       kCells,
                       run.decode_tokens_per_second,
                       speedup(scaling, run),
                       100 * efficiency(scaling, run),
                       share(run.step.compute, run.step),
                       share(run.step.communication, run.step),
                       share(run.step.host, run.step));
  }
  out += "\n";
  for (const ScalingNote& note : explain(scaling)) {
    out += fmt::format("{}: {}\n", note.code, note.text);
  }
  return out;
}

std::string scaling_svg(const Scaling& scaling) {
  constexpr double kWidth = 640;
  constexpr double kHeight = 400;
  constexpr double kLeft = 70;
  constexpr double kTop = 50;
  constexpr double kPlot = 270;  // height of the bars
  const ScalingRun* first = first_run(scaling);
  double most = 1e-9;
  const auto ideal = [&](const ScalingRun& run) {
    return first == nullptr ? 0.0
           : scaling.hardware == Hardware::kGpus
               ? first->decode_tokens_per_second * run.ranks / first->ranks
               : first->decode_tokens_per_second;
  };
  for (const ScalingRun& run : scaling.runs) {
    most = std::max({most, run.decode_tokens_per_second, ideal(run)});
  }
  std::string name;
  for (const char c : scaling.model) {
    name += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  }
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"25\" font-size=\"15\">{3}: decode, tok/s by ranks (batch {4})</text>\n",
      kWidth,
      kHeight,
      kLeft,
      name,
      scaling.batch);
  const double slot =
      (kWidth - kLeft - 20) / static_cast<double>(std::max<size_t>(1, scaling.runs.size()));
  const auto y_of = [&](double rate) { return kTop + kPlot * (1 - rate / most); };
  for (size_t i = 0; i < scaling.runs.size(); ++i) {
    const ScalingRun& run = scaling.runs[i];
    const double x = kLeft + slot * (static_cast<double>(i) + 0.15);
    const double width = 0.7 * slot;
    double y = kTop + kPlot;
    // Shares of a step stand on each other in the bar.
    const std::pair<double, const char*> parts[] = {{run.step.compute, "#4c78a8"},
                                                    {run.step.communication, "#f58518"},
                                                    {run.step.host, "#bab0ac"}};
    for (const auto& [seconds, colour] : parts) {
      const double height = run.step.total > 0 ? kPlot * run.decode_tokens_per_second / most *
                                                     seconds / run.step.total
                                               : 0;
      y -= height;
      out += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
          x,
          y,
          width,
          height,
          colour);
    }
    out += fmt::format(
        "<line x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#333\" "
        "stroke-dasharray=\"4 3\"/>\n"
        "<text x=\"{3:.1f}\" y=\"{4:.1f}\" text-anchor=\"middle\">{5}</text>\n"
        "<text x=\"{3:.1f}\" y=\"{6:.1f}\" text-anchor=\"middle\">{7}</text>\n",
        x,
        x + width,
        y_of(ideal(run)),
        x + width / 2,
        y_of(run.decode_tokens_per_second) - 6,
        run.ran()
            ? fmt::format(
                  "{:.1f} ({:.0f} %)", run.decode_tokens_per_second, 100 * efficiency(scaling, run))
            : std::string("not run"),
        kTop + kPlot + 20,
        run.ranks);
  }
  const std::pair<const char*, const char*> legend[] = {
      {"#4c78a8", "operations"}, {"#f58518", "sums among ranks"}, {"#bab0ac", "host and waits"}};
  double x = kLeft;
  for (const auto& [colour, text] : legend) {
    out += fmt::format(
        "<rect x=\"{0:.1f}\" y=\"{1:.1f}\" width=\"12\" height=\"12\" fill=\"{2}\"/>\n"
        "<text x=\"{3:.1f}\" y=\"{4:.1f}\">{5}</text>\n",
        x,
        kHeight - 34,
        colour,
        x + 17,
        kHeight - 23,
        text);
    x += 150;
  }
  return out + fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">- - {}</text>\n</svg>\n",
                           x,
                           kHeight - 23,
                           scaling.hardware == Hardware::kGpus ? "perfect" : "unsplit");
}

}  // namespace tutti
