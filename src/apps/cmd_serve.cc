// tutti serve in one process: the HTTP server, one model behind it. The same is an engine
// (tutti engine-process, not for people) where a gateway (serve_supervised.cc) has started it: it
// listens on a Unix socket then, and reports.
#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "apps/serve_config.h"
#include "apps/serve_shutdown.h"
#include "apps/serve_supervised.h"
#include "apps/text_model.h"
#include "backend/select.h"
#include "base/log_event.h"
#include "doctor/xid_table.h"
#include "inventory/nvml_source.h"
#include "serve/http_server.h"
#include "supervise/child_process.h"
#include "supervise/engine_report.h"
#include "watch/gpu_watch.h"

namespace tutti {

namespace {

using Kind = EngineReport::Kind;

constexpr std::chrono::milliseconds kHealthPoll{200};
// After a failure, for probes and clients that come back: they are told the cause.
constexpr std::chrono::milliseconds kLastWords{2000};

// Until a signal comes, or nullopt: the model has failed for good.
std::optional<int> serve_until_the_end(Shutdown& shutdown,
                                       const ServedModels& served,
                                       const ReportWriter& reports) {
  std::optional<int> signal;
  while (!signal && served.live().ok()) {
    reports.write({.kind = Kind::kAlive});
    signal = shutdown.wait_for(kHealthPoll);
  }
  return signal;
}

// Requests under way have got their error from the engine, or get it here where its thread hangs.
// The process ends here and now: what would be freed on the way out may hang in the driver of a
// device that failed.
[[noreturn]] void end_after_failure(const ServeOptions& options,
                                    HttpServer& server,
                                    const ServedModels& served) {
  const Status why = served.live();
  log_error("{}", why.message());
  log_error("ending with exit code {}", kFailedWhileServing);
  const auto wait = std::min(kLastWords, options.limits.drain_timeout);
  std::this_thread::sleep_for(wait);
  server.drain(wait, why);
  std::_Exit(kFailedWhileServing);
}

// What a server notices of its GPUs goes to the log, once. None where the CPU was asked for or the
// machine shows no GPU.
std::unique_ptr<GpuWatch> watch_gpus(const ModelFlags& flags) {
  if (flags.device == "cpu" || !nvidia_device_present("/")) {
    return nullptr;
  }
  return std::make_unique<GpuWatch>(GpuWatchOptions{
      .libraries = nvml_names(),
      .say = [](const std::string& line) { log_warn("{}", line); },
      .explain =
          [](int64_t xid) {
            const XidMeaning& meaning = meaning_of_xid(xid);
            return fmt::format("{}. To do: {}", meaning.what, meaning.remedy);
          },
  });
}

ServerConfig server_config(const ServeOptions& options) {
  ServerConfig config = serve_config(options);
  if (!options.socket.empty()) {
    config.unix_socket = options.socket;
    config.api_key.clear();  // the gateway has asked for the key
  }
  return config;
}

// How far loading is, for whoever has started this engine.
LoadProgressSink progress_of(const ReportWriter& reports) {
  return [&reports](const LoadProgress& progress) {
    const bool whole = progress.total > 0 && progress.done >= progress.total;
    reports.write({.kind = whole ? Kind::kWarming : Kind::kLoading,
                   .done_bytes = progress.done,
                   .total_bytes = progress.total});
  };
}

Status serve(const ServeOptions& options, const ReportWriter& reports, Shutdown& shutdown) {
  const bool engine = !options.socket.empty();
  raise_descriptor_limit();
  auto served = std::make_shared<ServedModels>();
  // Listening first: a taken port is reported before minutes of loading, and /ready tells the truth
  // meanwhile.
  const std::unique_ptr<GpuWatch> watch = watch_gpus(options.model);
  ServerConfig config = server_config(options);
  if (watch != nullptr) {
    config.gpus = [&watch] { return watch->status(); };
  }
  TUTTI_TRY(const std::unique_ptr<HttpServer> server, HttpServer::start(std::move(config), served));
  if (!engine) {
    log_info("listening on {}; loading {}", server->url(), display_name(options.model.model));
  }
  reports.write({.kind = Kind::kPlanning});
  TUTTI_TRY(const TextModel model,
            load_text_model(options.model,
                            options.served_model_name,
                            TextNeeds::kServe,
                            {.max_waiting = options.limits.waiting},
                            engine ? progress_of(reports) : LoadProgressSink()));
  log_info("{}: {}", model.engine->info().id, model.description);
  if (watch != nullptr) {
    watch->set_used(model.gpus);
  }
  shutdown.loaded();  // before anybody can see the model: from here on a signal finishes requests
  TUTTI_RETURN_IF_ERROR(served->add(model.engine));
  if (!engine) {
    // On quiet servers too: whoever started one waits for this line.
    log_notice(fmt::format(
        "ready: {}/v1 serves {}. Ctrl-C ends it", server->url(), model.engine->info().id));
  }
  reports.write({.kind = Kind::kReady,
                 .max_context = model.engine->info().max_context,
                 .created_unix = model.engine->info().created_unix,
                 .description = model.description});

  const std::optional<int> signal = serve_until_the_end(shutdown, *served, reports);
  if (!signal) {
    reports.write(report_of(served->live()));
    end_after_failure(options, *server, *served);
  }
  log_draining(*signal, options.limits);
  server->drain(options.limits.drain_timeout);
  if (!served->live().ok()) {
    end_after_failure(options, *server, *served);
  }
  bound_the_end();
  server->stop();
  model.engine->shutdown();
  if (!engine) {
    log_info("stopped");
  }
  return ok_status();
}

}  // namespace

int serve_command(const ServeOptions& options) {
  set_log_format(options.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  set_log_level(log_level_of(options));
  // Static: the thread that waits for a second signal outlives this function.
  static const Signals signals;
  static Shutdown shutdown(signals);
  const ReportWriter reports(options.socket.empty() ? -1 : kReportDescriptor);
  if (options.supervise || options.many()) {
    return serve_supervised(options, shutdown);
  }
  const Status status = serve(options, reports, shutdown);
  if (status.ok()) {
    return 0;
  }
  reports.write(report_of(Status(status.code(), spell_options(status.message(), &as_flag))));
  // An engine's gateway says what it was told.
  return options.socket.empty() ? fail(status) : mapping(status.code()).exit_code;
}

}  // namespace tutti
