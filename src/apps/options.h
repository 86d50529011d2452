// The command line as plain data. cli.cc fills it; the commands read it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/request_parameters.h"
#include "serve/http_limits.h"

namespace tutti {

/// Flags of every command that loads a model.
struct ModelFlags {
  std::string model;  ///< directory or name; empty = tiny-r1
  std::string device = "auto";
  std::string gpus = "auto";  ///< auto, all, a number, or a list of indices and UUIDs
  int tp = 0;                 ///< 0 = chosen by the program
  int ranks_per_gpu = 1;      ///< more than one is for tests
  std::string p2p = "auto";   ///< auto or off: whether GPUs use each other's memory
  double collective_timeout_seconds = 30;
  double step_timeout_seconds = 600;
  std::string fault_stall;  ///< for tests: "1@200" stops rank 1 before its job 200
  int threads = 0;          ///< 0 = all CPUs
  int64_t context = 0;      ///< tokens; 0 = chosen
  std::string kv_memory;    ///< "2GiB"; empty = chosen
  std::string compute;      ///< "f32" or "bf16"; empty = the device's default
  int64_t max_batch_tokens = 512;
  int64_t max_batch_sequences = 64;
  bool no_prefix_cache = false;
  std::string load_format = "auto";  ///< auto, or dummy: weights from a generator
  std::string mla_form = "absorbed";
  bool reference_ops = false;
  bool quiet = false;  ///< no progress bar, no info lines
};

/// Flags of request parameters (engine/request_parameters.h) that were given.
struct ParameterFlags {
  std::vector<std::pair<const RequestParameter*, ParameterValue>> given;

  bool any_sampling() const;
  /// `base` with what was given of it.
  SamplingParams sampling(SamplingParams base) const;
  /// Flags were checked when they were parsed.
  void apply(GenerationRequest& request) const;
};

struct RunOptions {
  ModelFlags model;
  ParameterFlags parameters;
  std::string prompt;
  std::string system;
  std::string tools;  ///< JSON file: tools the model may call; empty: none
};

struct ServeOptions {
  ModelFlags model;
  std::string host = "127.0.0.1";
  int port = 9997;
  std::string api_key;
  std::string allowed_origins;  ///< comma-separated
  std::string allowed_hosts;    ///< the same
  std::string tls_certificate;  ///< file
  std::string tls_key;          ///< file
  std::string served_model_name;
  bool insecure = false;
  std::string log_format = "text";
  std::string log_level = "info";
  HttpLimits limits;
  RequestLimits request_limits;
  bool no_store = false;    ///< responses are not kept
  bool supervise = false;   ///< the model runs in a process of its own
  std::string models_file;  ///< several models
  bool empty = false;       ///< none at first
  std::string state;        ///< file where launches are kept; "": the usual one
  /// For engines: the flags that were typed, each with its value, but those of the server in front.
  std::vector<std::vector<std::string>> engine_flags;

  /// Launches come and go, instead of one model from start to end.
  bool many() const { return empty || !models_file.empty(); }

  std::string socket;  ///< of such a process: where it listens, instead of host and port
};

struct ScoreOptions {
  ModelFlags model;
  std::string ids_file;
  std::string logits_out;
  int64_t chunk = 0;  ///< tokens per step; 0 = all at once
};

struct GenerateOptions {
  ModelFlags model;
  ParameterFlags parameters;
  std::string ids_file;
  bool json = false;
};

struct TokenizeOptions {
  std::string model;
  std::string file;
  bool jsonl = false;
  bool no_bos = false;
  bool skip_special = false;  ///< detokenize only
};

struct TemplateOptions {
  std::string model;
  std::string messages;
  std::string tools;
  std::string kwargs;
  bool no_generation_prompt = false;
};

struct CheckPeersOptions {
  std::string pairs;    ///< "0:1,1:0"
  std::string pretend;  ///< ok, unsupported, wrong, error, hang, crash, hang-together or failed
  std::string pretend_pairs;  ///< of which; empty = all. Others are ok
};

struct DoctorOptions {
  std::string model;      ///< empty: none
  std::string inventory;  ///< file to look at instead of this machine; empty: none
  bool json = false;
  bool quick = false;  ///< no test of data between GPUs
  bool speed = false;  ///< measure each GPU
  std::string dump;    ///< file for the inventory; "-": standard output; empty: none
  std::string ask;     ///< for the program itself: what "cuda" or "nvml" alone shows, or "speed"
};

struct TopOptions {
  std::string url;   ///< of a server; empty: this machine's driver
  std::string file;  ///< with what a server or --once --json gave; empty: none
  std::string api_key;
  bool once = false;
  bool json = false;
  double interval_seconds = 1;
  int columns = 0;  ///< 0: the terminal's
};

struct VersionOptions {
  bool json = false;
};

struct CalibrateOptions {
  bool json = false;
};

struct PlanOptions {
  std::string model;
  std::string hardware;   ///< "8xH200"; empty: this machine
  std::string inventory;  ///< file; empty: this machine
  std::string goal = "balanced";
  int64_t context = 0;      ///< tokens; 0: the model's
  int64_t concurrency = 0;  ///< sequences at once; 0: whatever fits
  bool json = false;
};

struct ModelsOptions {
  std::string word;  ///< only models that have it in a name; empty: all
  std::string hardware;
  std::string inventory;
  bool json = false;
};

struct BenchLatencyOptions {
  ModelFlags model;
  int64_t prompt_tokens = 128;
  int64_t new_tokens = 64;
  int64_t batch = 1;
  int one_of = 0;             ///< measure one rank of so many, alone; 0 = all ranks
  ParameterFlags parameters;  ///< over a temperature of 0
  bool json = false;
};

struct BenchScalingOptions {
  ModelFlags model;
  std::vector<int> ranks;  ///< empty: 1, 2, 4, ... as far as there are GPUs
  bool one_gpu = false;    ///< all ranks on the first GPU
  int64_t prompt_tokens = 128;
  int64_t new_tokens = 64;
  int64_t batch = 1;
  bool json = false;
  std::string svg;  ///< file; empty: none
  int measure = 0;  ///< for the program itself: one number of ranks, in this process
};

struct BenchAllReduceOptions {
  ModelFlags ranks;              ///< those of devices and ranks; no model
  std::vector<std::string> via;  ///< peer, nccl, host; empty: all there are
  std::string dtype;             ///< bf16 or f32; empty: bf16 on GPUs, f32 on the CPU
  std::string min_bytes = "1KiB";
  std::string max_bytes = "256MiB";
  bool json = false;
};

struct BenchThroughputOptions {
  ModelFlags model;
  int64_t requests = 64;
  int64_t concurrency = 16;
  int64_t prompt_tokens = 128;
  int64_t new_tokens = 64;
  ParameterFlags parameters;  ///< over a temperature of 0
  uint64_t seed = 0;
  bool json = false;
};

struct BenchServeOptions {
  std::string url = "http://127.0.0.1:9997";
  std::string model;  ///< empty: the one the endpoint serves
  std::string api_key;
  std::string endpoint = "completions";
  std::string prompt_format;  ///< ids or words; empty: ids for completions, words for chat
  std::string token_ids = "32:255";
  std::string input_length = "128";
  std::string output_length = "128";
  std::string dataset;
  int64_t shared_prefix = 0;
  int64_t prefix_groups = 1;
  std::optional<int64_t> concurrency;
  std::optional<double> rate;
  int64_t requests = 0;
  double duration_seconds = 0;
  double ramp_up_seconds = 0;
  int64_t warmup_requests = 0;
  double timeout_seconds = 600;
  int threads = 1;
  bool no_stream = false;
  bool ignore_eos = false;
  bool min_tokens = false;
  std::optional<double> temperature;
  std::string extra_body;
  std::string slo;
  std::optional<uint64_t> seed;  ///< nothing: another one each run
  int64_t server_pid = 0;
  std::string json_file;
  bool quiet = false;
};

/// A running server, and what is wanted of it.
enum class ManageAction { kList, kPs, kLogs, kTerminate };

struct ManageOptions {
  ManageAction action = ManageAction::kList;
  std::string endpoint;  ///< URL; empty: the usual one
  std::string api_key;
  std::string uid;
  bool json = false;
};

enum class KeyAction { kList, kAdd, kRotate, kRemove };

struct KeyOptions {
  KeyAction action = KeyAction::kList;
  ManageOptions server;
  std::string name;
  std::string scopes;  ///< comma-separated; "": the usual one
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t expires_in = 0;  ///< seconds; 0: never
  int64_t grace = 0;       ///< seconds that a key goes on which is replaced
};

struct LaunchOptions {
  ManageOptions server;
  std::string model;
  std::string model_path;
  std::string uid;
  std::string engine;
  std::string type;
  std::string format;
  std::string size;
  std::string quantization;
  std::string device;
  std::string n_gpu;
  std::string gpu_idx;  ///< "0,1"
  std::string kv_memory;
  int64_t replicas = 1;
  int tp = 0;
  int64_t context = 0;
  int64_t unload_after = 0;  ///< seconds; 0: never
  bool no_wait = false;
};

// Each command returns the process exit code and has printed its errors.
int run_command(const RunOptions& options);
int serve_command(const ServeOptions& options);
int score_command(const ScoreOptions& options);
int generate_command(const GenerateOptions& options);
int tokenize_command(const TokenizeOptions& options);
int detokenize_command(const TokenizeOptions& options);
int template_command(const TemplateOptions& options);
int doctor_command(const DoctorOptions& options);
int top_command(const TopOptions& options);
int version_command(const VersionOptions& options);
int calibrate_command(const CalibrateOptions& options);
int plan_command(const PlanOptions& options);
int models_command(const ModelsOptions& options);
int launch_command(const LaunchOptions& options);
int manage_command(const ManageOptions& options);
int key_command(const KeyOptions& options);
int check_peers_command(const CheckPeersOptions& options);
int bench_latency_command(const BenchLatencyOptions& options);
int bench_all_reduce_command(const BenchAllReduceOptions& options);
int bench_scaling_command(const BenchScalingOptions& options);
int bench_throughput_command(const BenchThroughputOptions& options);
int bench_serve_command(const BenchServeOptions& options);

}  // namespace tutti
