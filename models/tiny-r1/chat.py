"""The chat format: DeepSeek-R1's template, and the same thing in Python for training."""

from tokenizer_build import ASSISTANT, BOS, END_THINK, EOS, THINK, USER

# Same behaviour as the template of DeepSeek-R1: system texts first, past thoughts
# cut off at </think>, the thought opened for the model when it is its turn.
CHAT_TEMPLATE = """\
{%- if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif -%}
{%- set ns = namespace(system_prompt='', first_system=true, in_tools=false) -%}
{%- for message in messages %}{% if message['role'] == 'system' %}
{%- if ns.first_system %}{% set ns.system_prompt = message['content'] %}{% set ns.first_system = false %}
{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{% endif %}
{%- endif %}{% endfor -%}
{{- bos_token }}{{ ns.system_prompt }}
{%- for message in messages %}
{%- if message['role'] == 'user' %}
{%- set ns.in_tools = false %}
{{- '<｜User｜>' + message['content'] }}
{%- endif %}
{%- if message['role'] == 'assistant' and 'tool_calls' in message and message['tool_calls'] %}
{%- set ns.in_tools = false %}
{{- '<｜Assistant｜>' }}
{%- if message['content'] %}{{ message['content'].split('</think>')[-1] }}{% endif %}
{{- '<｜tool▁calls▁begin｜>' }}
{%- for tool in message['tool_calls'] %}
{%- if not loop.first %}{{ '\\n' }}{% endif %}
{{- '<｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\\n```json\\n' + tool['function']['arguments'] + '\\n```<｜tool▁call▁end｜>' }}
{%- endfor %}
{{- '<｜tool▁calls▁end｜>' + eos_token }}
{%- elif message['role'] == 'assistant' %}
{%- if ns.in_tools %}{{ '<｜tool▁outputs▁end｜>' }}{% else %}{{ '<｜Assistant｜>' }}{% endif %}
{%- set ns.in_tools = false %}
{%- if message['content'] %}{{ message['content'].split('</think>')[-1] }}{% endif %}
{{- eos_token }}
{%- endif %}
{%- if message['role'] == 'tool' %}
{%- if not ns.in_tools %}{{ '<｜tool▁outputs▁begin｜>' }}{% endif %}
{%- set ns.in_tools = true %}
{{- '<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>' }}
{%- endif %}
{%- endfor -%}
{%- if ns.in_tools %}{{ '<｜tool▁outputs▁end｜>' }}{% endif %}
{%- if add_generation_prompt and not ns.in_tools %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}"""


def render_prompt(messages):
    """What the template gives for text messages with the generation prompt."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    out = [BOS, system]
    for m in messages:
        if m["role"] == "user":
            out.append(USER + m["content"])
        elif m["role"] == "assistant":
            out.append(ASSISTANT + m["content"].split(END_THINK)[-1] + EOS)
    return "".join(out) + ASSISTANT + THINK + "\n"


def render_completion(thinking, answer):
    return f"{thinking}\n{END_THINK}\n\n{answer}{EOS}"
