"""Phrasings: how a person may put each kind of problem, in English and Chinese.

A pattern is text with nested alternatives, ``{a|b|}``, expanded at random by
:func:`expand`.  ``<a>``, ``<b>``, ``<l>`` (list), ``<w>`` (word) and ``<c>``
(letter) are filled in afterwards, so that changing the case of the sentence
never touches the problem itself.
"""

import random
from functools import lru_cache

# --------------------------------------------------------------------------
# The little pattern language
# --------------------------------------------------------------------------


@lru_cache(maxsize=None)
def _parse(pattern):
    """Parse a pattern to a nested tuple: sequence of str | alternatives."""
    pos = 0

    def sequence(stop):
        nonlocal pos
        parts, text = [], []
        while pos < len(pattern) and pattern[pos] not in stop:
            if pattern[pos] == "{":
                if text:
                    parts.append("".join(text))
                    text = []
                pos += 1
                options = [sequence("|}")]
                while pattern[pos] == "|":
                    pos += 1
                    options.append(sequence("|}"))
                pos += 1
                parts.append(("alt", tuple(options)))
            else:
                text.append(pattern[pos])
                pos += 1
        if text:
            parts.append("".join(text))
        return tuple(parts)

    return sequence("")


def _walk(node, rng, out):
    for part in node:
        if isinstance(part, str):
            out.append(part)
        else:
            _walk(rng.choice(part[1]), rng, out)


def expand(pattern, rng):
    """One random expansion of a pattern."""
    out = []
    _walk(_parse(pattern), rng, out)
    return "".join(out)


# --------------------------------------------------------------------------
# Arithmetic.  Q: a noun phrase to ask for; D: an imperative; F: a full sentence.
# --------------------------------------------------------------------------
EN = {}
ZH = {}

EN["add"] = {
    "Q": ["<a> + <b>", "<a> + <b>", "<a>+<b>", "<a> plus <b>", "the sum of <a> and <b>",
          "<a> and <b> {together|combined|in total|added together|added up}", "<a> added to <b>",
          "the {total|result} of <a> {+|plus|and} <b>", "the {sum|total|result} if {I|you|we} add <a> {and|to} <b>",
          "the answer to <a> {+|plus} <b>", "the result of adding <a> {and|to} <b>"],
    "D": ["add <a> {and|to} <b>", "add <b> to <a>", "{sum|sum up|add up|total} <a> and <b>", "add <a> {and|to} <b> together",
          "add the numbers <a> and <b>", "add these {|two }numbers: <a>{,| and} <b>", "add together <a> and <b>", "add <a>, <b>",
          "increase <a> by <b>", "find the sum of <a> and <b>", "add: <a>{,| and} <b>"],
    "F": ["how much {is|are|do you get for|does it make to add} <a> {+|plus|and} <b>?", "<a> + <b> = ?", "<a>+<b>=?", "<a>+<b>=", "<a> + <b> =",
          "<a> plus <b> {equals|is|makes} what?", "what does <a> {+|plus} <b> {equal|make|give|come to}?",
          "what do <a> and <b> {add up to|sum to|make|make together|make in total}?", "what do you get {if|when} you add <a> {and|to} <b>?",
          "if {I|you} add <a> {and|to} <b>, what {do I get|do you get|is the result|is the sum}?", "what is <b> more than <a>?",
          "<a> + <b> is {what|how much}?", "how much do you get {if|when} you add <a> {and|to} <b>?"],
}
EN["sub"] = {
    "Q": ["<a> - <b>", "<a> - <b>", "<a>-<b>", "<a> minus <b>", "<a> − <b>", "<a> take away <b>", "<a> less <b>",
          "the result of <a> {-|minus} <b>", "the answer to <a> {-|minus} <b>", "<b> subtracted from <a>", "<b> taken {away |}from <a>",
          "the result if {I|you|we} {subtract|take} <b> from <a>", "the result of {subtracting|taking} <b> from <a>"],
    "D": ["subtract <b> from <a>", "take <b> {|away }from <a>", "take away <b> from <a>", "deduct <b> from <a>", "reduce <a> by <b>",
          "decrease <a> by <b>", "start with <a> and {subtract|take away} <b>", "remove <b> from <a>"],
    "F": ["how much is <a> {-|minus|take away|less} <b>?", "<a> - <b> = ?", "<a>-<b>=?", "<a>-<b>=", "<a> - <b> =",
          "<a> minus <b> {equals|is|makes} what?", "what does <a> {-|minus} <b> {equal|make|give}?",
          "what {is left|remains} {if|when} {I|you} {take|subtract} <b> from <a>?", "what do you get {if|when} you {take|subtract} <b> from <a>?",
          "if {I|you} {take|subtract} <b> from <a>, what {is left|do I get|do you get|is the result|remains}?",
          "how much {is left|remains} {if|when} {I|you} take <b> {away |}from <a>?", "what is <b> less than <a>?",
          "<a> - <b> is {what|how much}?"],
}
# Only asked when the first number is at least the second: the sign is clear then.
EN_DIFF = ["{what is|what's|find|compute|calculate|give me} the difference {between <a> and <b>|of <a> and <b>}",
           "how much {larger|bigger|greater|more} is <a> than <b>?", "what is the difference between <b> and <a>?",
           "by how much is <a> {larger|bigger|greater} than <b>?"]
EN["mul"] = {
    "Q": ["<a> * <b>", "<a> × <b>", "<a> x <b>", "<a>*<b>", "<a>×<b>", "<a>x<b>", "<a> times <b>", "<a> multiplied by <b>", "the product of <a> and <b>",
          "the result of <a> {*|×|x|times|multiplied by} <b>", "the answer to <a> {*|×|x|times} <b>", "the product if {I|you|we} multiply <a> {by|and} <b>",
          "the result of multiplying <a> {by|and|with} <b>", "<a> · <b>"],
    "D": ["multiply <a> {by|and|with|times} <b>", "multiply <a> {by|and|with} <b>", "multiply the numbers <a> and <b>", "multiply: <a> {by|and|times} <b>",
          "find the product of <a> and <b>", "multiply these {|two }numbers: <a>{,| and} <b>", "multiply <a>, <b>", "multiply <a> and <b> together"],
    "F": ["how much is <a> {*|×|x|times|multiplied by} <b>?", "<a> * <b> = ?", "<a> × <b> = ?", "<a> x <b> = ?", "<a>*<b>=?", "<a>×<b>=?", "<a>*<b>=", "<a>×<b>=",
          "<a> × <b> =", "<a> times <b> {equals|is|makes} what?", "what does <a> {*|×|x|times} <b> {equal|make|give}?",
          "what do you get {if|when} you multiply <a> {by|and|with} <b>?", "if {I|you} multiply <a> {by|and|with} <b>, what {do I get|do you get|is the result}?",
          "<a> {*|×|x|times} <b> is {what|how much}?"],
}
ZH["add"] = ["<a>{+| + }<b>{等于|是|=|得}{多少|几}", "<a> + <b> = ?", "<a>+<b>=？", "<a>+<b>=", "<a>+<b>", "<a> + <b>", "<a>{加| 加 |加上| 加上 }<b>{等于|是|得|=}{多少|几}", "<a>{加| 加 |加上}<b>",
             "{计算|算|算一下|求|算算|计算一下}{| |：}<a>{ + |+|加| 加 |加上}<b>", "{求|计算|告诉我|} <a> {和|与|跟} <b> {的和|之和|的总和|相加|加起来}{|是多少|等于多少}",
             "<a>{和|与|跟}<b>{的和|之和|相加|加起来|一共}{是多少|等于多少|是几|得多少}", "把 <a> {和|与} <b> {加起来|相加}", "把<a>和<b>{加起来|相加}{|是多少|等于多少}", "<a> 和 <b> 一共是多少",
             "<b> 加到 <a> 上是多少", "如果把 <a> 和 <b> 加起来，{结果是多少|等于多少}"]
ZH["sub"] = ["<a>{-| - }<b>{等于|是|=|得}{多少|几}", "<a> - <b> = ?", "<a>-<b>=？", "<a>-<b>=", "<a>-<b>", "<a> - <b>", "<a>{减| 减 |减去| 减去 }<b>{等于|是|得|=}{多少|几}", "<a>{减| 减 |减去}<b>",
             "{计算|算|算一下|求|算算|计算一下}{| |：}<a>{ - |-|减| 减 |减去}<b>", "从 <a> {里|中}{减去|拿走|去掉|减掉} <b> {是多少|还剩多少|等于多少|剩多少}", "从<a>{里|中}{减去|拿走|去掉}<b>{是多少|还剩多少|等于多少}",
             "<a> {拿走|去掉|减掉} <b> {还剩多少|还剩几|是多少}", "如果从 <a> {里|中}{减去|拿走} <b>，{结果是多少|还剩多少}", "把 <a> 减去 <b>{|是多少|等于多少}"]
ZH_DIFF = ["{求|计算|}<a>{和|与| 和 | 与 }<b>{的差|之差|相差}{|是多少}", "<a>比<b>{多|大}{多少|几}", "<a> 比 <b> {多|大}{多少|几}", "<a> 和 <b> 相差多少"]
ZH["mul"] = ["<a>{×| × |*| * |x}<b>{等于|是|=|得}{多少|几}", "<a> × <b> = ?", "<a>×<b>=？", "<a>×<b>=", "<a>*<b>", "<a> × <b>", "<a>{乘| 乘 |乘以| 乘以 }<b>{等于|是|得|=}{多少|几}", "<a>{乘|乘以| 乘以 }<b>",
             "{计算|算|算一下|求|算算|计算一下}{| |：}<a>{ × |×|*|乘| 乘 |乘以}<b>", "{求|计算|告诉我|} <a> {和|与|跟} <b> {的积|的乘积|相乘|之积}{|是多少|等于多少}",
             "<a>{和|与|跟}<b>{的积|的乘积|相乘|乘起来}{是多少|等于多少|得多少}", "把 <a> {和|与} <b> {乘起来|相乘}", "<a> 的 <b> 倍{是多少|等于多少}", "如果把 <a> 和 <b> 相乘，{结果是多少|等于多少}"]

# --------------------------------------------------------------------------
# Comparing.  "big": the larger is wanted; "small"; "gt"/"lt"/"eq": yes or no; "cmp": the relation.
# --------------------------------------------------------------------------
_BIG = "{larger|bigger|greater|higher|the larger|the bigger|more}"
_SMALL = "{smaller|less|lower|the smaller|lesser|fewer}"
EN["compare"] = {
    "big": ["which {is|one is|number is|of them is|of the two is} " + _BIG + "{,|:| -|?} <a> or <b>", "which is " + _BIG + ": <a> or <b>?", "which is " + _BIG + ", <a> or <b>?", "what is " + _BIG + ", <a> or <b>?",
            "<a> or <b>{,|:| -} which {is|one is|number is} " + _BIG + "?", "<a> or <b>, what is " + _BIG + "?", "is <a> or <b> " + _BIG + "?",
            "{tell me|say} which {is|one is|number is} " + _BIG + "{,|:} <a> or <b>", "which {is|number is|one is} " + _BIG + "{:|,} <a>{, | and | vs | versus |/}<b>?", "which of <a> and <b> is " + _BIG + "?",
            "{pick|choose|name|give me|tell me|find} the {larger|bigger|greater|higher} {number |one |}{of|from|between} <a> and <b>", "what is the {larger|bigger|greater|higher} {number |one |}{of|between|out of} <a> and <b>?",
            "between <a> and <b>, which {is|one is|number is} " + _BIG + "?", "which number is {larger|bigger|greater} - <a> or <b>?", "{larger|bigger|greater}: <a> or <b>?", "the {larger|bigger|greater} {number |}of <a> and <b>"],
    "small": ["which {is|one is|number is|of them is|of the two is} " + _SMALL + "{,|:| -|?} <a> or <b>", "which is " + _SMALL + ": <a> or <b>?", "which is " + _SMALL + ", <a> or <b>?", "what is " + _SMALL + ", <a> or <b>?",
              "<a> or <b>{,|:| -} which {is|one is|number is} " + _SMALL + "?", "<a> or <b>, what is " + _SMALL + "?", "is <a> or <b> " + _SMALL + "?",
              "{tell me|say} which {is|one is|number is} " + _SMALL + "{,|:} <a> or <b>", "which {is|number is|one is} " + _SMALL + "{:|,} <a>{, | and | vs | versus |/}<b>?", "which of <a> and <b> is " + _SMALL + "?",
              "{pick|choose|name|give me|tell me|find} the {smaller|lesser|lower} {number |one |}{of|from|between} <a> and <b>", "what is the {smaller|lesser|lower} {number |one |}{of|between|out of} <a> and <b>?",
              "between <a> and <b>, which {is|one is|number is} " + _SMALL + "?", "which number is {smaller|lower} - <a> or <b>?", "{smaller|lower}: <a> or <b>?", "the {smaller|lower} {number |}of <a> and <b>"],
    "gt": ["is <a> {larger|bigger|greater|higher|more} than <b>?", "is it true that <a> > <b>?", "is <a> > <b>?", "<a> > <b>?", "true or false: <a> > <b>?", "is the number <a> {larger|bigger|greater} than <b>?",
           "do you think <a> is {larger|bigger|greater} than <b>?", "is it true that <a> is {larger|bigger|greater} than <b>?"],
    "lt": ["is <a> {smaller|less|lower} than <b>?", "is it true that <a> < <b>?", "is <a> < <b>?", "<a> < <b>?", "true or false: <a> < <b>?", "is the number <a> {smaller|less} than <b>?",
           "do you think <a> is {smaller|less} than <b>?", "is it true that <a> is {smaller|less} than <b>?"],
    "eq": ["{is|does} <a> {equal to|equal|the same as} <b>?", "are <a> and <b> {equal|the same|the same number}?", "<a> = <b>?", "is <a> = <b>?"],
    "cmp": ["compare <a> {and|with|to|,} <b>", "compare: <a>{,| and} <b>", "compare the numbers <a> and <b>", "compare these {|two }numbers: <a>{,| and} <b>", "<a> ? <b>", "<a> vs <b>", "<a> versus <b>", "put <, > or = between <a> and <b>",
            "which sign goes between <a> and <b>?", "how does <a> compare {to|with} <b>?", "<, > or =: <a> and <b>", "how do <a> and <b> compare?"],
}
ZH["compare"] = {
    "big": ["<a>{和|与|跟|还是|、| 和 | 与 | 还是 }<b>{|，|,| }{哪个|哪一个|谁|哪个数|哪个数字}{大|更大|比较大|大一些|大一点}", "{哪个|哪一个|哪个数|哪个数字}{大|更大|比较大}{，|：|,|? |？}<a>{还是| 还是 |和|、| 和 }<b>", "<a>、<b>{哪个大|谁大|中较大的是|中大的是哪个}",
            "{<a>和<b>|<a> 和 <b> }{中|里|里面}{较大的|更大的|大的|比较大的}{数|那个|}{是|是哪个|是多少|是几}", "比一比，<a> 和 <b> {哪个大|谁更大}"],
    "small": ["<a>{和|与|跟|还是|、| 和 | 与 | 还是 }<b>{|，|,| }{哪个|哪一个|谁|哪个数|哪个数字}{小|更小|比较小|小一些|小一点}", "{哪个|哪一个|哪个数|哪个数字}{小|更小|比较小}{，|：|,|? |？}<a>{还是| 还是 |和|、| 和 }<b>", "<a>、<b>{哪个小|谁小|中较小的是|中小的是哪个}",
              "{<a>和<b>|<a> 和 <b> }{中|里|里面}{较小的|更小的|小的|比较小的}{数|那个|}{是|是哪个|是多少|是几}", "比一比，<a> 和 <b> {哪个小|谁更小}"],
    "gt": ["<a>大于<b>吗", "<a> 大于 <b> 吗", "<a>比<b>大吗", "<a> 比 <b> {大|更大}吗", "<a> > <b> {吗|对吗}", "<a>是不是{比<b>大|大于<b>}"],
    "lt": ["<a>小于<b>吗", "<a>比<b>小吗", "<a> 比 <b> {小|更小}吗", "<a> < <b> {吗|对吗}", "<a>是不是{比<b>小|小于<b>}"],
    "eq": ["<a>{和|与| 和 }<b>{相等|一样大|一样}吗", "<a>等于<b>吗", "<a> 等于 <b> 吗"],
    "cmp": ["比较{一下|}{ | 这两个数：|两个数：|}<a>{和|与| 和 |、}<b>{|的大小}", "<a> {和|与} <b> 比较", "在 <a> 和 <b> 之间填 >、< 或 =", "<a> ? <b>", "<a>○<b>"],
}

# --------------------------------------------------------------------------
# Lists
# --------------------------------------------------------------------------
EN["sort"] = {
    "asc": ["sort <l>", "sort <l>", "sort: <l>", "sort {the|these|the following|this list of|my} numbers{:|} <l>", "sort {the|this|my|the following} list{:|} <l>", "sort <l> {in ascending order|ascending|from small to large|from smallest to largest|from low to high|from least to greatest|in increasing order|from lowest to highest}",
            "{put|arrange|place|order} {<l>|the numbers <l>|these numbers: <l>} {in order|in ascending order|from smallest to largest|from small to large|from least to greatest|in increasing order|in the right order}", "order <l>", "order {the|these} numbers{:|} <l>", "{put|arrange} {these|the} numbers in {order|ascending order}: <l>", "arrange <l>",
            "sort in ascending order: <l>", "sort ascending: <l>", "sort from {smallest to largest|small to large|low to high}: <l>", "what is <l> {sorted|in order|in ascending order|in sorted order}?", "<l> {sorted|in order|in ascending order}", "rank <l> from {smallest to largest|low to high}", "give me <l> {sorted|in ascending order|from smallest to largest}",
            "what do you get if you sort <l>?", "list {these numbers|the numbers} {in order|from smallest to largest}: <l>", "write <l> in {order|ascending order}", "how would you sort <l>?", "sort the {array|values|sequence} <l>", "<l> - sort {them|these|it}", "here are some numbers: <l>. sort them"],
    "desc": ["sort <l> {in descending order|descending|from large to small|from largest to smallest|from high to low|from greatest to least|in decreasing order|from highest to lowest|in reverse order|from big to small|from biggest to smallest}", "{put|arrange|place|order} {<l>|the numbers <l>|these numbers: <l>} {in descending order|from largest to smallest|from large to small|from greatest to least|in decreasing order|from high to low|from biggest to smallest}",
             "{put|arrange} {these|the} numbers in descending order: <l>", "sort {in descending order|descending|from largest to smallest|from high to low|from large to small}: <l>", "what is <l> in {descending|decreasing} order?", "<l> in {descending|decreasing} order", "rank <l> from {largest to smallest|high to low|highest to lowest}", "sort {the|these} numbers from {largest to smallest|high to low|large to small}: <l>", "list {these numbers|the numbers} {from largest to smallest|in descending order}: <l>", "sort {the|these} numbers{:|} <l> {in descending order|from largest to smallest|from high to low}"],
}
ZH["sort"] = {
    "asc": ["{给|把|将|对|}{| }<l>{| }{排序|排个序|排一下序|从小到大排序|从小到大排列|按从小到大排序|按升序排列|升序排列|按从小到大的顺序排列|排成从小到大的顺序}", "排序{：|:| |}<l>", "从小到大排{序|列}{：|:| }<l>", "{请把|把|将|给}{下面的|这些|这几个|以下}{数|数字}{排序|从小到大排列|从小到大排序|按升序排列|排个序}：<l>", "升序{排列|排序}{：| }<l>", "<l>{，| }{从小到大怎么排|请从小到大排列|排一下序|从小到大|帮我排序}", "按{从小到大的顺序|升序}排列{：| }<l>", "<l> 从小到大{是什么|怎么排列|是}"],
    "desc": ["{给|把|将|对|}{| }<l>{| }{从大到小排序|从大到小排列|按从大到小排序|按降序排列|降序排列|按从大到小的顺序排列|排成从大到小的顺序}", "从大到小排{序|列}{：|:| }<l>", "{请把|把|将|给}{下面的|这些|这几个|以下}{数|数字}{从大到小排列|从大到小排序|按降序排列}：<l>", "降序{排列|排序}{：| }<l>", "<l>{，| }{从大到小怎么排|请从大到小排列|从大到小}", "按{从大到小的顺序|降序}排列{：| }<l>"],
}


def _extreme_en(adj, short, noun):
    """Ways to ask for the largest or smallest number of a list."""
    return ["{what is|what's|which is} the " + adj + " {number |value |one |}{of|in|among|from|out of} <l>?", "{find|give me|pick|tell me|name|get|return|show} the " + adj + " {number |value |one |}{of|in|among|from} <l>",
            "{what is|find|what's} the " + noun + " {of|in} <l>?", "which {number |one |of these |of these numbers |}is {the |}" + adj + "{:|,|?} <l>{|?}", "which of <l> is the " + adj + "?", noun + " of <l>", noun + ": <l>", short + "(<l>)", short + " of <l>", short + " <l>",
            "the " + adj + " {number |}{of|in} <l>", "{out of|among|from|of} <l>, {which is|what is|which one is|which number is|find} the " + adj + "?", "<l>{:|,|.| -} {which is|what is|which one is|which number is} the " + adj + "?", "{find|what is|which is} the " + adj + " number{:| in the list| in this list|: } <l>",
            adj + " {number |}of <l>", "which is the " + adj + " number: <l>?", "what is the " + adj + " number in the list <l>?", "here are some numbers: <l>. which is the " + adj + "?", "what number is the " + adj + ": <l>?", "the {list|numbers} <l>: {what is|give} the {" + adj + "|" + noun + "}"]


EN["max"] = _extreme_en("{largest|biggest|greatest|highest}", "max", "{maximum|max}")
EN["min"] = _extreme_en("{smallest|lowest|least}", "min", "{minimum|min}")
EN["sum"] = ["{what is|what's|find|compute|calculate|give me|tell me} the {sum|total} of <l>", "{sum|add up|add|total|sum up} <l>", "{sum|add up|add|total} {the|these|the following} numbers{:|} <l>", "sum: <l>", "sum(<l>)", "sum of <l>", "the {sum|total} of <l>", "add {<l>|the numbers <l>|these numbers: <l>} {up|together}",
             "what {do|does} <l> add up to?", "what {is|do you get for} the sum of {the|these} numbers{:|} <l>?", "add all {of |}these {numbers|}: <l>", "how much {is|are} <l> {together|in total|altogether}?", "<l>: what is the {sum|total}?", "{find|compute|what is} the {sum|total} of the {list|numbers} <l>", "total: <l>", "what is the total {if|when} you add <l>?", "sum of the list <l>", "<+>", "what is <+>?", "<+> = ?", "compute <+>", "calculate <+>", "how much is <+>?", "<+>="]
ZH["max"] = ["<l>{中|里|里面|当中|这些数中|这几个数中|}{|，| }{最大的数|最大的|最大值|最大的数字}{是|是多少|是几|是哪个|是什么|是谁}", "<l>{，| }{哪个|哪个数|谁|哪一个}最大", "{哪个|哪个数|哪一个}最大{：|，|？}<l>", "{求|找出|找|给出|告诉我|输出}{| }<l>{中|里|的|里面| 中| 的}{最大的数|最大值|最大的|最大数}",
             "最大的数是{|…|...|哪个|什么|多少}{：|:| }<l>", "{最大值|最大数|最大的是}{：|是|}{| }<l>", "{找出|求|给出}{最大的数|最大值|最大数}{：| }<l>", "在 <l> {中|里}{，|}最大的{|数}是{|哪个|多少|几}", "这些数{里|中}{最大的是|哪个最大}：<l>", "{下面|以下|下列}{数中|数字中|数里}{最大的是|哪个最大|最大的数是}：<l>"]
ZH["min"] = [p.replace("大", "小") for p in ZH["max"]]
ZH["sum"] = ["<l>{的和|的总和|之和|加起来|相加|一共|全部加起来}{|是多少|等于多少|是几|得多少}", "{求|计算|算|算一下|算出}{| }<l>{的和|的总和|之和| 的和| 的总和}", "求和{：|:| |}<l>", "把{| }<l>{| }{加起来|相加|全部加起来|都加起来}{|是多少}", "{总和|和}{：|是多少：}<l>", "{这些数|下面的数|这几个数|以下数字}{的和|的总和|加起来}是多少：<l>", "{把|将}{这些数|下面的数|这几个数}{加起来|相加}：<l>", "<+>{等于|是|=|得}{多少|几}", "{计算|算|求|算一下}{| |：}<+>", "<+>", "<+>=？"]

# --------------------------------------------------------------------------
# Letters and words
# --------------------------------------------------------------------------
EN["count"] = {
    "one": ["how many <c> {in|are in|are there in} {|the word |word }<w>?", "how many <c> in <w>?", "how many <c>'s {in|are in|are there in} {|the word }<w>?", "how many <c>s {in|are in|are there in} {|the word }<w>?", "how many {letter <c>|letters <c>|<c> letters|letter <c>'s|times <c>} {in|are in|are there in} {|the word }<w>?",
            "how many times does {|the letter |letter }<c> {appear|occur|show up|come up} in {|the word |word }<w>?", "how {often|frequently} does {|the letter }<c> {appear|occur|show up} in {|the word }<w>?", "how many <c>{|'s} does {|the word }<w> {have|contain}?", "how many {letter <c>|<c> letters|letters <c>} does {|the word }<w> {have|contain}?",
            "count {|the letter |all |the |every |letter }<c>{|'s} in {|the word |word }<w>", "count how many {times |}<c> {is in|are in|appears in|occurs in|there are in} {|the word }<w>", "count the {number|occurrences} of {|the letter }<c>{|'s} in {|the word }<w>", "{what is|what's|find|give me|tell me} the {number|count} of {|letter |the letter }<c>{|'s} in {|the word }<w>",
            "number of <c>{|'s} in <w>", "in {|the word }<w>, how many {<c> are there|times does <c> appear|<c>'s are there|letters are <c>}?", "{|the word }<w>: how many <c>?", "{|the word }<w> {has|contains} how many <c>{|'s}?", "<c> in <w>: how many?", "count of <c> in <w>", "how many of the letters in <w> are <c>?"],
    "all": ["how many letters {are in|are there in|in|are there in the word} <w>", "how many {letters|characters} does {|the word }<w> have?", "how long is {|the word }<w>?", "{what is|what's} the length of {|the word }<w>?", "count the {letters|characters} in {|the word }<w>", "length of <w>", "the number of letters in <w>"],
}
ZH["count"] = {
    "one": ["{|单词|单词 |在 |在}<w>{| }{里|中|里面|这个词里|这个单词里|当中}{|，| }{有几个|有多少个|一共有几个|有几个字母|有多少个字母|共有多少个|出现了几个}{| }<c>", "{数一数|数一下|数数|统计|计算}{| }<w>{| }{里|中|里面}{的|有几个|有多少个|字母| 字母 |}{| }<c>{|的个数|的数量|有几个}", "字母{| }<c>{| }在{|单词}{| }<w>{| }{里|中}{出现了几次|出现几次|出现多少次|有几个|出现了多少次}", "<c> 在 <w> {里|中}出现{了|}几次", "<w>{| }{里|中|里面}{|字母}{| }<c>{| }{有几个|有多少个|的个数是多少|出现几次|出现了几次|的个数}", "<w> 有几个 <c>", "<w>有多少个{| |字母}<c>"],
    "all": ["{|单词|单词 }<w>{| }{有几个字母|有多少个字母|一共有几个字母|由几个字母组成|的长度是多少|有多长}", "{数一数|数一下} <w> 有几个字母", "<w> {里|中}一共有多少个字母"],
}
EN["reverse"] = {
    "D": ["reverse {the word |the string |the letters {of|in} |word |}<w>", "reverse <w>", "reverse: <w>", "{spell|write|say|type|print|put} {|the word }<w> {backwards|backward|in reverse|in reverse order|reversed|from right to left|from back to front|from the end to the start}", "flip {|the word |the letters of }<w>{| around}", "turn {|the word }<w> around", "{give me|tell me|show me|find|return|output|write} the reverse of {|the word }<w>", "{give me|tell me|show me|return|output} <w> {backwards|reversed|in reverse|spelled backwards}",
          "read {|the word }<w> {backwards|from right to left}", "reverse the order of {the |}letters in {|the word }<w>", "reverse this word: <w>", "reverse the following {word|string}: <w>", "{spell|write} backwards: <w>", "invert {the word |the letters of |}<w>", "write the letters of <w> in reverse order"],
    "F": ["{what is|what's} {|the word }<w> {backwards|backward|reversed|in reverse|spelled backwards|written backwards|spelled in reverse}?", "{what is|what's} the reverse of {|the word }<w>?", "how do you {spell|write} {|the word }<w> {backwards|in reverse|backward}?", "how would you spell <w> backwards?", "what do you get {if|when} you {reverse|flip|spell backwards} {|the word }<w>?", "what does <w> {look like|read} {backwards|reversed|in reverse}?", "<w> {backwards|reversed|in reverse|backward|spelled backwards}", "<w>, {reversed|backwards}", "what word do you get by reversing <w>?", "how does {|the word }<w> look backwards?"],
}
ZH["reverse"] = ["{把|将|}{|单词|单词 |字符串}{| }<w>{| }{倒过来写|反过来写|倒过来|反过来|倒序|反转|逆序|颠倒|倒着写|倒着拼|反转过来|倒着写出来|倒序输出|反向书写}", "{|单词|单词 }<w>{| }{倒着写|反过来|倒过来|反转后|倒序|反着写|倒过来拼|反过来拼|逆序}{是什么|怎么写|是|怎么拼|等于什么}", "{反转|倒写|翻转|颠倒|逆序输出|倒序输出|逆序|倒着写|倒着拼写}{|单词|这个单词|字符串}{|：| }<w>", "{倒着|反着}{写|念|拼}{|单词}{| }<w>", "<w> 的{倒序|反转|逆序|倒写}是{什么|}", "怎么{倒着写|倒着拼|反转}{| }<w>", "从后往前{写|拼|念}{| }<w>"]

# More ways to say it, kept apart from the core forms above.
EN["add"]["Q"] += ["the {value|outcome} of <a> {+|plus} <b>", "the expression <a> + <b>", "the addition {of <a> and <b>|<a> + <b>}", "<a> increased by <b>", "the sum {<a> + <b>|of the numbers <a> and <b>|of these two numbers: <a> and <b>}", "the sum between <a> and <b>"]
EN["add"]["D"] += ["addition: <a> {and|plus} <b>", "let me know {the answer of|what is|the result of} <a> {+|plus} <b>", "do the addition <a> + <b>", "put <a> and <b> together", "combine <a> and <b>"]
EN["add"]["F"] += ["{i have|you have|i had} <a> and {i |}{add|get|receive} <b>{. | more. |, }what {is the result|do i get|do i have now|is the total}?", "<a> {+|plus} <b>, what {is it|is that|does it make|is the result}?", "how much would <a> {and|plus} <b> {be|make}?", "if {you|i} have <a> and {add|get} <b>, what do {you|i} {end up with|get|have}?", "what number do you get by adding <a> {and|to} <b>?", "what's the answer: <a> + <b>?", "how much {is|are} <a> and <b>?", "what {is|are} <a> and <b> {in total|together|combined}?"]
EN["sub"]["Q"] += ["the {value|outcome} of <a> {-|minus} <b>", "the expression <a> - <b>", "the subtraction {of <b> from <a>|<a> - <b>}", "<a> {decreased|reduced} by <b>", "<b> off <a>"]
EN["sub"]["D"] += ["subtraction: <a> {-|minus} <b>", "let me know {the answer of|what is|the result of} <a> {-|minus} <b>", "do the subtraction <a> - <b>", "from <a>{,|} {take|subtract} <b>", "take <b> off <a>", "subtract: <a> - <b>"]
EN["sub"]["F"] += ["{i have|you have|i had} <a> and {i |}{take away|subtract|remove|lose|give away|spend} <b>{. |, }what {is left|remains|do i have left|is the result}?", "take <b> {off|from|away from} <a>, what {remains|is left}?", "how much would <a> minus <b> be?", "what number do you get by {subtracting|taking} <b> from <a>?", "<a> {-|minus} <b>, what {is it|is that|is the result}?", "what's the answer: <a> - <b>?", "how much {is left|remains} when <b> is {taken|subtracted} from <a>?"]
EN_DIFF += ["{the |}difference {between <a> and <b>|of <a> and <b>}", "difference: <a> and <b>", "how far apart are <a> and <b>", "what {is|'s} the difference if you compare <a> and <b>"]
EN["mul"]["Q"] += ["the {value|outcome} of <a> {*|×|times} <b>", "the expression <a> {*|×} <b>", "the multiplication {of <a> {and|by} <b>|<a> {×|*|by|times} <b>}", "<a> multiplied with <b>", "the product {between <a> and <b>|<a> × <b>|of the numbers <a> and <b>}"]
EN["mul"]["D"] += ["multiplication: <a> {by|and|times|×} <b>", "let me know {the answer of|what is|the result of} <a> {×|*|times} <b>", "do the multiplication <a> {×|*} <b>", "take <a> times <b>"]
EN["mul"]["F"] += ["how much would <a> {times|×} <b> be?", "<a> {times|×|*} <b>, what {is it|is that|is the result}?", "what number do you get by multiplying <a> {by|and|with} <b>?", "what's the answer: <a> {*|×|x} <b>?", "what do <a> and <b> multiply to?"]
EN["sort"]["asc"] += ["{sort|order|arrange|list} <l> {smallest first|lowest first|from the smallest|increasing|in numerical order|numerically|by size|by value|smallest to largest|low to high}", "{smallest|lowest} first: <l>", "{ascending|increasing|numerical} order: <l>", "i have {the |these |}numbers{:|} <l>. {sort them|put them in order|please sort them|sort these from smallest to largest}", "can you {sort|order|arrange} {these|them|the numbers} {for me|}: <l>", "{can|could} you {sort|order} these for me? <l>", "{the |}sorted {version|list|form} of <l>", "from {smallest|lowest|small|low|least} to {largest|highest|large|high|greatest}: <l>", "{ascending|sorted}: <l>", "<l> - put {these|them} in order", "{sort|order} {these|them}: <l>", "make this list sorted: <l>", "{what is |}the {correct|right} order of <l>", "{show|return|print|output} <l> {in ascending order|sorted|in order}", "put <l> {from small to large|from low to high|smallest to largest}"]
EN["sort"]["desc"] += ["{sort|order|arrange|list} <l> {biggest first|largest first|highest first|from the biggest|from the largest|decreasing|largest to smallest|high to low}", "{sort|order|arrange} {from biggest|from the largest|from largest}: <l>", "{largest|biggest|highest} first: <l>", "{descending|decreasing} order: <l>", "from {largest|biggest|highest|large|high|greatest} to {smallest|lowest|small|low|least}: <l>", "{descending|decreasing}: <l>", "i have {the |these |}numbers{:|} <l>. {sort|put|arrange} them {from largest to smallest|in descending order|from high to low}", "<l> sorted {descending|from high to low|largest first|in descending order}", "{show|return|print|output} <l> in descending order", "put <l> {from large to small|from high to low|largest to smallest}", "{arrange|put|order} these from {largest to smallest|high to low|biggest to smallest}: <l>"]


def _more_extreme_en(adj):
    return [adj + " {value|number|element|item|one} {in|among|of|from} {the list |}<l>", "i have {the numbers |}<l>. {which|what|which one} is {the |}" + adj + "?", "what is the " + adj + " of these {numbers|values}{:|} <l>?", "which {value|number|one} {here |}is {the |}" + adj + "{:|,|?} <l>", "of {all |}these numbers, which is {the |}" + adj + "? <l>", "the " + adj + " one {in|of|among} <l>?", adj + ": <l>",
            "{select|identify|determine|choose|say} the " + adj + " {number |value |one |}{of|in|among|from} <l>", "which of {these|the following|the} {numbers |}is {the |}" + adj + "{:|?|,} <l>", "what is the " + adj + " {number |value |}{here|in this list|below}: <l>", "<l> - {the |}" + adj + "?", "{i need|i want} the " + adj + " of <l>", "{can|could} you find the " + adj + " {number |}in <l>?"]


EN["max"] += _more_extreme_en("{largest|biggest|greatest|highest|maximum}")
EN["min"] += _more_extreme_en("{smallest|lowest|least|minimum}")
EN["sum"] += ["{what|how much} {is|are} <l> {summed|summed up|added up|added together|in total}?", "i have {the numbers |}<l>. what is {their|the} {sum|total}?", "{sum|add} {all |}{of |}these{ numbers|}: <l>", "add everything{ up|}: <l>", "{calculate|find|compute} the {sum|total}: <l>", "total up <l>", "what {is|would be} the {sum|total} of all {these |the |}numbers{:|} <l>?", "{the |}{sum|total}{ is|}: <l>?", "add all {of |}the numbers{:| in} <l>", "{can|could} you {sum|add up|total} <l>?", "what {is|'s} the result of <+>?", "{add|sum up|evaluate|solve} <+>", "<+> equals what?"]
EN["count"]["one"] += ["how many {times |}can you find {|the letter }<c> in {|the word }<w>?", "{find|check|say|tell me|i want to know|determine} how many {|times }<c>{|'s} {are|there are|appear|occur} in {|the word }<w>", "{what is|what's|give|find} the {letter count|count|amount|frequency} {of|for} {|the letter }<c> in {|the word }<w>", "how many {instances|occurrences|copies} of {|the letter }<c> are {|there }in {|the word }<w>?", "letter <c> in {|the word }<w>: how many{ times|}?", "if you spell {|the word }<w>, how many <c>{|'s} are there?", "how many of the letter <c> {are |}in {|the word }<w>?", "how many <c>{|'s} can you {find|see|count} in {|the word }<w>?", "{amount|frequency|occurrences} of {|the letter }<c> in {|the word }<w>", "how many letters in {|the word }<w> are {|the letter }<c>?", "for {|the word }<w>, {count|how many are} the letter <c>", "the word {is |}<w>. how many <c>{|'s} {are there|does it have|does it contain}?", "how many times is {|the letter }<c> {|used }in {|the word }<w>?"]
EN["reverse"]["D"] += ["write {|the word }<w> from {the last letter to the first|end to start|back to front}", "backwards: <w>", "reversed: <w>", "reverse text: <w>", "swap the order of {the |}letters in <w>", "mirror the word <w>", "i want {|the word }<w> {reversed|backwards|in reverse}", "show {|the word }<w> {in reverse|backwards}", "{the |}reverse {spelling |}of {|the word }<w>", "{can|could} you {spell|write|say|reverse} {|the word }<w> {backwards|in reverse}", "put the letters of {|the word }<w> in reverse order", "{make|spell} {|the word }<w> go backwards", "take the word <w> and {reverse it|write it backwards|spell it backwards|turn it around}"]
EN["reverse"]["F"] += ["<w> spelled {in reverse|backwards} {is|is what}?", "{what is|what's} the {backwards|reverse|reversed} {spelling|form|version} of {|the word }<w>?", "if you {read|spell|write} {|the word }<w> {backwards|in reverse}, what do you get?", "<w> from end to start?", "what {is|would be} {|the word }<w> {read|spelled|written} {from right to left|from the end|backwards}?", "how does {|the word }<w> {read|look|sound} {backwards|in reverse}?", "what {comes out|happens} {if|when} you reverse {|the word }<w>?"]
for _kind, _adj in (("big", "{larger|bigger|greater|higher}"), ("small", "{smaller|lower|lesser}")):
    EN["compare"][_kind] += ["of {|the two numbers |the numbers }<a> and <b>, which {is|one is} {|the }" + _adj + "?", "which of these {two |}{numbers |}is " + _adj + "{,|:} <a> or <b>?", "is <a> or <b> the " + _adj + " {number|one}?", "the " + _adj + " number: <a> or <b>?", "which one of <a> and <b> is " + _adj + "?", "<a>, <b>: which is {|the }" + _adj + "?", "what number is " + _adj + "{,|:} <a> or <b>?", "which is the " + _adj + " {of|out of|between} <a> and <b>?", "i have <a> and <b>. which {is|one is} " + _adj + "?", "what is the " + _adj + " number: <a> or <b>?", "{find|select|choose} the " + _adj + ": <a>, <b>", "what's " + _adj + ": <a> or <b>?", "<a> and <b>: which is " + _adj + "?"]
EN["compare"]["gt"] += ["does <a> exceed <b>?", "<a> is {larger|bigger|greater} than <b>{,|:} {right|true or false|correct|yes or no}?", "is it correct that <a> is {larger|bigger|greater} than <b>?", "<a> is {larger|bigger|greater} than <b>?", "<a> {bigger|larger|greater} than <b>?", "{check|tell me} if <a> is {larger|bigger|greater} than <b>"]
EN["compare"]["lt"] += ["<a> is {smaller|less} than <b>{,|:} {right|true or false|correct|yes or no}?", "is it correct that <a> is {smaller|less} than <b>?", "<a> is {smaller|less} than <b>?", "<a> {smaller|less} than <b>?", "{check|tell me} if <a> is {smaller|less} than <b>"]
ZH["add"] += ["<a>{加| 加 |+}<b>{的结果是多少|的结果|是几|等于}", "我有 <a>，再加 <b>，{一共多少|是多少}", "<a> {加上|再加} <b> {一共是多少|结果是多少}", "{求和|加法}：<a> {和|+} <b>"]
ZH["sub"] += ["<a>{减| 减 |-}<b>{的结果是多少|的结果|是几|等于}", "我有 <a>，{用掉|拿走|减去} <b>，{还剩多少|是多少}", "<a> {减去|减掉} <b> {还有多少|结果是多少}", "减法：<a> - <b>"]
ZH_DIFF += ["<a>比<b>多多少", "<a> 比 <b> {大|多}多少", "<a> {与|和} <b> 的{差|差值|差距}是多少"]
ZH["mul"] += ["<a>{乘| 乘 |×|乘以}<b>{的结果是多少|的结果|是几|等于}", "<a>{个| 个 }<b>{是多少|一共多少}", "乘法：<a> {×|乘} <b>", "<a> {乘上|乘} <b> 结果是多少"]
for _size in "大小":
    ZH["max" if _size == "大" else "min"] += [p.replace("#", _size) for p in ["<l>{，|：| }{哪个|哪一个|哪个数}是最#的", "<l> {中|里|里面}最#的{一个|一个数|数值|那个数}{是|是哪个|是多少}", "{选出|挑出|指出}{| }<l>{| }{中|里}最#的{数|一个}", "我有 <l>，{哪个|哪个数}最#", "最#{的|}{是|值是|数是}{哪个|多少|什么|}{：|？| }<l>"]]
    ZH["compare"]["big" if _size == "大" else "small"] += [p.replace("#", _size) for p in ["<a>{和|与| 和 }<b>{，|}{哪个|谁}{#|更#|#些}", "<a> 和 <b> 两个数{，|}{哪个|谁}{#|更#}", "{哪个数|谁}{#|更#}：<a>{ 和 |、|还是}<b>", "<a>还是<b>{#|更#}", "<a>, <b> {哪个|谁}{#|更#}"]]
ZH["sort"]["asc"] += ["{帮我|请帮我|}{把|将}{| }<l>{| }{从小到大排|从小排到大|由小到大排列|由小到大排序|按大小排序|按大小排列|按顺序排列|排好序}", "由小到大{排列|排序}{：| }<l>", "{这些数|下面的数}由小到大怎么排：<l>"]
ZH["sort"]["desc"] += ["{帮我|请帮我|}{把|将}{| }<l>{| }{从大到小排|从大排到小|由大到小排列|由大到小排序}", "由大到小{排列|排序}{：| }<l>", "{这些数|下面的数}由大到小怎么排：<l>"]
ZH["sum"] += ["<l> {加在一起|全加起来|合计|总共}{是多少|等于多少}", "{求|计算}{这些数|下列数}的{和|总和}：<l>", "<l> 的{总和|和}"]
ZH["count"]["one"] += ["{|单词 |单词}<w>{| }{中|里|里面}{|字母 |字母}<c> {的数量|的个数|的次数}{是多少|是几|}", "{|字母 |字母}<c> 在{|单词} <w> {中|里}{有几个|出现的次数|一共出现几次}", "<w>{里|中}有{几|多少}个{字母|}{| }<c>", "{请数|数出|帮我数}{| }<w>{| }{里|中}有{几|多少}个{| }<c>"]
ZH["reverse"] += ["<w> 的倒写{|是什么}", "{写出|给出|说出} <w> 的{倒序|反写|逆序|倒写}", "{将|把}{|单词} <w> 从后往前{写|读|拼}{|一遍}", "<w> {从后往前|从右往左}{写|读|念}{是什么|}", "{请|}{倒过来|反过来}{写|拼|读}{：|}{|单词} <w>"]

# --------------------------------------------------------------------------
# Around the question
# --------------------------------------------------------------------------
EN_ASK = ["what is ", "what is ", "what is ", "what's ", "what's ", "whats ", "how much is ", "tell me ", "compute ", "calculate ", "work out ", "evaluate ", "find ", "solve ", "give me ", "determine ", "figure out ", "do you know ", "what will be ", "show me ", "get ", "solve: ", "compute: ", "calculate: "]
EN_BEFORE = ["please ", "please ", "please ", "can you ", "could you ", "can you please ", "could you please ", "would you ", "hey, ", "hi, ", "hi! ", "hello, ", "hello! ", "ok, ", "okay, ", "so, ", "now ", "now, ", "next: ", "and ", "question: ", "q: ", "quick question: ", "a quick one: ", "one more: ", "help me: ", "please help me: ", "i need to know: ",
             "i wonder, ", "tell me, ", "tell me: ", "my homework: ", "for my homework: ", "i have a question. ", "excuse me, ", "try this: ", "next question: ", "dear assistant, ", "task: ", "problem: ", "can you tell me ", "could you tell me ", "do you know ", "i need you to ", "i want you to ", "help me ", "let's ", "just ", "then ", "well, ", "thanks! now ", "great. ", "good. "]
EN_BEFORE_D = {"can you ", "could you ", "can you please ", "could you please ", "would you ", "i need you to ", "i want you to ", "help me ", "let's ", "just "}
EN_BEFORE_F = {"can you tell me ", "could you tell me ", "do you know "}
EN_AFTER = ["{|,} please", "{|,} please", " thanks", ", thanks", ", thank you", " for me", " for me please", ", ok", " - think step by step", ". think carefully", ". show your work", ". answer only", " quickly", ". thanks in advance"]
ZH_BEFORE = ["请", "请问", "请问", "请你", "你好，", "你好，请问", "帮我", "请帮我", "麻烦", "问题：", "问一下，", "我想知道", "告诉我，", "题目：", "那么", "再问一个：", "下一题：", "现在", "能不能告诉我，", "你知道", "老师，", "嗨，", "好的，", "我有个问题，", "可以帮我算算吗："]
ZH_AFTER = ["，谢谢", "，谢谢你", "呢", "呀", "啊", "，请回答", "，请一步一步想", "，多谢"]
SYSTEM = ["You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.", "You are a careful math tutor.", "Answer briefly.", "Be concise.", "You are Tutti, a small assistant.", "You are an AI assistant that answers questions.", "Think step by step.", "Please answer in a short and exact way.",
          "You are a helpful, harmless and honest assistant.", "Always be polite.", "You are a chatbot.", "Keep answers short.", "你是一个有用的助手。", "你是一个乐于助人的助手。", "请简短回答。", "你是一位认真的数学老师。", "请一步一步思考。", "你是一个人工智能助手，回答用户的问题。"]
