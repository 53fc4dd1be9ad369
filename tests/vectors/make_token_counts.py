"""Texts, and how many tokens they have: makes token_counts.json, or with --check compares it with OpenAI's own tiktoken.

    "$(scripts/fetch-tiktoken)" tests/vectors/make_token_counts.py --check
    "$(scripts/fetch-tiktoken)" tests/vectors/make_token_counts.py --smollm2 URL --gemma3 URL

The URLs are llama-servers with those two models; their counts are compared with real ones in tests/engines.
"""
import argparse
import json
import pathlib
import random
import sys
import urllib.request

import tiktoken

FILE = pathlib.Path(__file__).with_name("token_counts.json")

LANGUAGES = [
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren, groß und klein.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits : « voilà ».",
    "Todos los seres humanos nacen libres e iguales en dignidad; ¿no es así? ¡Sí, señor!",
    "Todos os seres humanos nascem livres e iguais em dignidade e em direitos, não é?",
    "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Perché no?",
    "Alla människor är födda fria och lika i värde och rättigheter, även på Åland.",
    "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Příliš žluťoučký kůň.",
    "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Árvíztűrő tükörfúrógép.",
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İstanbul'da ışık.",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "Всі люди народжуються вільними і рівними у своїй гідності та правах, її й ґанок.",
    "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق، وقد وُهبوا عقلاً وضميراً.",
    "تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "మానవులందరు స్వతంత్రులుగా జన్మించారు.",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "လူတိုင်းသည် တူညီ လွတ်လပ်သော ဂုဏ်သိက္ခာဖြင့် လည်းကောင်း",
    "ადამიანები იბადებიან თავისუფალნი და თანასწორნი თავიანთი ღირსებითა და უფლებებით.",
    "Բոլոր մարդիկ ծնվում են ազատ ու հավասար՝ իրենց արժանապատվությամբ ու իրավունքներով։",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "人皆生而自由；在尊嚴及權利上均各平等。「對吧？」他說：『是的！』",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "ﾊﾝｶｸｶﾀｶﾅ と ＦＵＬＬ　ＷＩＤＴＨ、１２３。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "ሰው፡ሁሉ፡ሲወለድ፡ነጻና፡በክብርና፡በመብትም፡እኩልነት፡ያለው፡ነው።",
    "ᏂᎦᏓ ᎠᏂᏴᏫ ᏂᎨᎫᏓᎸᎾ ᎠᎴ ᎤᏂᏠᏱ ᎤᎾᏕᎿ.",
    "མི་རིགས་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས་དང༌།",
]

CODE = [
    "fn main() {\n    let xs: Vec<u32> = (0..10).map(|x| x * x).collect();\n    println!(\"{xs:?}\");\n}\n",
    "def fib(n):\n\tif n < 2:\n\t\treturn n\n\treturn fib(n - 1) + fib(n - 2)  # O(2**n)\n",
    "#include <stdio.h>\r\nint main(void) {\r\n  printf(\"%d\\n\", 0x7fffffff);\r\n  return 0;\r\n}\r\n",
    "const f = async ({ a, b = 1, ...rest }) => await fetch(`https://x.test/${a}?b=${b}`, rest);",
    "SELECT u.id, COUNT(*) AS n FROM users u LEFT JOIN orders o ON o.user_id = u.id WHERE u.name LIKE '%O''Brien%' GROUP BY 1;",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"n\":-1.5e-10,\"stop\":null}",
    "<div class=\"a b\" id='c'>&nbsp;&lt;script&gt;alert(1)&lt;/script&gt;</div><!-- x -->",
    "for f in *.txt; do sed -i 's/\\bfoo\\b/bar/g' \"$f\" && echo \"${f%.txt}\" >>log 2>&1; done",
    "diff --git a/x b/x\n@@ -1,3 +1,3 @@\n-old\n+new\n \n context\n",
    "        MOV     EAX, [EBP+8]    ; deep\n\n\n        RET\n",
    "theorem add_comm (a b : ℕ) : a + b = b + a := by induction b <;> simp_all [Nat.add_succ]",
    "\\begin{equation} \\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi} \\end{equation}",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n- [x] done\n- [ ] open\n\n```rust\nlet a = 1;\n```\n",
    "2026-11-23T05:10:00.123Z ERROR [req-7f3a9c] 127.0.0.1:8080 \"GET /v1/models?x=1&y=%20 HTTP/1.1\" 500 1234 0.002s",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "0xdeadbeef 0b1010 0o777 1_000_000 3.14159265358979 6.02e23 1e-9 -0 +1 .5 5.",
    "camelCase PascalCase snake_case SCREAMING_SNAKE kebab-case dot.case HTTPServerID iOS eBay McDonald",
]

NAUGHTY = [
    "", " ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", " \n", "\n ", "\r\r\n\n", "\x00", "\x00\x01\x02\x1f\x7f", "\ufeff", "\ufffd", "\uffff",
    "\u00a0", "\u00a0x", "x\u00a0", "\u2028\u2029", "\u3000\u3000", "a\u200bb", "\u200d", "\u200f\u202e abc \u202c", "\u1680x", "\u0085y",
    "undefined", "null", "NULL", "NaN", "-Infinity", "1/0", "0x", "true", "\\", "\\\\", "'", "''", "'\"'", "`", "${x}", "{{x}}", "%s%n%x", "../../../etc/passwd",
    "' OR 1=1 -- 1", "<script>alert('x')</script>", "javascript:alert(1)", "$(touch /tmp/x)", "() { 0; }; echo x", "&lt;&gt;", "\\u0041", "%00%0d%0a",
    "<|endoftext|>", "<|im_start|>user\nhi<|im_end|>", "<|fim_prefix|>x<|fim_suffix|>", "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>user", "<end_of_turn>", "[INST] x [/INST]", "<|start|>system<|message|>", "<unused0>", "<mask>", "[multimodal]",
    "don't", "DON'T", "I'll've", "it's we're they'd I'm you'll we've", "'s't're've'm'll'd", "'S'T'RE'VE'M'LL'D", "'lL'Ll'rE", "it'\u017f", "'\u017f", "x'\u017fa", "l'été", "rock'n'roll", "O\u2019Brien\u2019s", "'tis '90s",
    "👍", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷🇯🇵", "1️⃣2️⃣", "❤️❤", "☃", "(╯°□°）╯︵ ┻━┻", "¯\\_(ツ)_/¯", "ಠ_ಠ", "😀😃😄😁😆😅🤣😂", "🫠🫥🫶🏿", "🧑🏻‍🚀🧑🏿‍🔬",
    "Z\u0351\u036b\u0343a\u0310l\u0349g\u0321o\u0334", "e\u0301", "\u0301", "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u0649\u0651\u064e", "ǅ ǈ ǋ", "ʰʲˠ", "ªº", "Ⅻ ½ ² ₃ ①㈠", "٣٤٥ ४५६ ๑๒๓ 𝟘𝟙𝟚", "𝓗𝓮𝓵𝓵𝓸", "ｈｅｌｌｏ", "𐍈𐌰", "𠜎𠜱𠝹", "\U0010ffff", "\U000e0041", "\ue000",
    "ßẞ ŉ ﬁ ﬀ ﷺ", "İi̇ıI", "ΣσςΑΣ", "ʼn", "№™©®", "€£¥₹₿", "—–‐‑‒―…", "«»‹›„“”‚‘’", "≤≥≠≈∞∑∏√∂", "←↑→↓⇒⇔", "■□▪▫▲△", "─━│┃┄┅", "♔♕♖♗", "\u2581", "\u2581\u2581hello", "Ġhello Ċ", "\u0120",
    "a" * 300, "A" * 129, "é" * 70, "的" * 100, "\n" * 200, " " * 500, "\t" * 90, "=" * 257, "-" * 100, "7" * 100, "0" * 3, "ab" * 100, "!" * 65, ". " * 50, " \n" * 40, "\u200d" * 30, "😀" * 40, "w" * 127 + " " + "w" * 128 + " " + "w" * 129,
    "a " * 100 + "b" * 400 + " c" * 100, "x" * 120 + "  \n  " + "y" * 120, " " * 200 + "x", "x" + " " * 200, "x" + " " * 127 + "\ny", "1" * 127 + "a" * 127 + "-" * 127 + "'" * 127,
    "word " * 40 + "\u00a0" + " word" * 40, "word\u3000" * 30, "word\u2009" * 30, "7\n" * 80, "-\n" * 80, "-\r\n/\n" * 20, "//\n\n//", "a/\n/b", "。\n，\r\n！", "的。" * 60,
]

PIECES = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "'", "'s", "'LL", "-", "--", "/", "\n\n", ".", ",", "(", "}", "0", "42", "1234", "a", "I", "the", "The", "THE", "hello", "iPhone", "é", "ß", "ſ", "я", "Мир", "的", "人", "。", "，", "か", "カ", "한", "ไ", "ا", "ी", "\u0301", "😀", "👩\u200d💻", "\u200d", "½", "٣", "\x07", "<|im_end|>", "_", "#", "“", "—", "\u2028"]


def texts():
    known, chosen = set(), random.Random(7)

    def fresh(text):
        if text not in known:
            known.add(text)
            yield text

    for text in LANGUAGES + CODE + NAUGHTY:
        yield from fresh(text)
    # Beginnings and ends within words.
    for text in LANGUAGES + CODE:
        for _ in range(4):
            at = chosen.randrange(1, len(text))
            yield from fresh(text[:at])
            yield from fresh(text[at:])
    for _ in range(150):
        yield from fresh(chosen.choice([" ", "", "\n", "  ", ", "]).join(chosen.sample(LANGUAGES, 2))[: chosen.randrange(20, 160)])
    for _ in range(450):
        yield from fresh("".join(chosen.choices(PIECES, k=chosen.randrange(2, 24))))
    # Any characters, of one plane after another.
    for end in (0x80, 0x250, 0x3000, 0x10000, 0x20000):
        for _ in range(24):
            codes = [chosen.randrange(end) for _ in range(chosen.randrange(1, 20))]
            yield from fresh("".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000))


def ask(url, text):
    body = json.dumps({"content": text, "add_special": False, "parse_special": False}).encode()
    request = urllib.request.Request(f"{url}/tokenize", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return len(json.load(reply)["tokens"])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true")
    options.add_argument("--smollm2")
    options.add_argument("--gemma3")
    options = options.parse_args()
    o200k, cl100k = (tiktoken.get_encoding(name) for name in ("o200k_base", "cl100k_base"))
    all_texts = list(texts())
    counts = [[text, len(o200k.encode_ordinary(text)), len(cl100k.encode_ordinary(text))] for text in all_texts]
    if options.check:
        stored = json.loads(FILE.read_text())["texts"]
        wrong = [(made, kept) for made, kept in zip(counts, stored, strict=True) if made != kept[:3]]
        for made, kept in wrong[:10]:
            print(f"tiktoken counts {made}, {FILE.name} says {kept}", file=sys.stderr)
        if wrong:
            sys.exit(f"error: {len(wrong)} of {len(counts)} texts have another count; make the file again")
        print(f"ok: tiktoken {tiktoken.__version__} counts {len(counts)} texts as {FILE.name} does, by o200k_base and cl100k_base")
        return
    rows = [[*row, ask(options.smollm2, row[0]), ask(options.gemma3, row[0])] for row in counts]
    lines = ",\n".join(json.dumps(row) for row in rows)
    head = {"columns": ["text", "o200k_base", "cl100k_base", "smollm2", "gemma3"], "made_by": f"make_token_counts.py, tiktoken {tiktoken.__version__} and llama-server"}
    FILE.write_text(json.dumps(head)[:-1] + ', "texts": [\n' + lines + "\n]}\n")
    print(f"{len(rows)} texts")


if __name__ == "__main__":
    main()
