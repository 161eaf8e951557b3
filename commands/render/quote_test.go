package render

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestQuote(t *testing.T) {
	for _, c := range [][2]string{
		{"user:1", "user:1"}, {"", `""`}, {"a b", `"a b"`}, {`a"b`, `"a\"b"`}, {"it's", `"it's"`}, {`a\b`, `"a\\b"`},
		{"\n\r\t\a\b", `"\n\r\t\a\b"`}, {"\x00\x1b\x7f\xff", `"\x00\x1b\x7f\xff"`}, {"世界", "世界"}, {"世 界", `"\xe4\xb8\x96 \xe7\x95\x8c"`},
		{"a\u00a0b", `"a\xc2\xa0b"`}, {"\u202e", `"\xe2\x80\xae"`}, {"é\xff", `"\xc3\xa9\xff"`}, {"é b", `"\xc3\xa9 b"`}, {"-", "-"},
	} {
		if got := Quote(c[0]); got != c[1] {
			t.Errorf("Quote(%q) = %s, want %s", c[0], got, c[1])
		}
	}
}

func TestUnquote(t *testing.T) {
	for _, c := range [][2]string{
		{"abc", "abc"}, {`a\nb`, `a\nb`}, {`""`, ""}, {`''`, ""}, {`"a\x41\xFFb"`, "aA\xffb"}, {`"\q\'"`, "q'"}, {`"\x4"`, "x4"},
		{`'a\nb\'c"'`, `a\nb'c"`}, {`foo"bar"`, "foobar"}, {"\"a\nb\"", "a\nb"}, {"\xff\x80", "\xff\x80"}, {`"\xzz"`, "xzz"},
	} {
		if got, err := Unquote(c[0]); got != c[1] || err != nil {
			t.Errorf("Unquote(%q) = %q, %v, want %q", c[0], got, err, c[1])
		}
	}
	for _, in := range []string{"", " ", "a b", `"a`, `'a`, `"a\"`, `"a"b`, `"a" "b"`, `'a\'`, "a\x00", "\"a\x00\"", "a\n"} {
		if got, err := Unquote(in); err == nil {
			t.Errorf("Unquote(%q) = %q, want an error", in, got)
		}
	}
}

func TestQuoteReadsBack(t *testing.T) {
	anything := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("ab\"'\\ \n\x00x41é世\u00a0"))),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		s := anything.Draw(t, "s")
		q := Quote(s)
		if got, err := Unquote(q); got != s || err != nil {
			t.Fatalf("%q is quoted %s, which reads %q, %v", s, q, got, err)
		}
		if !utf8.ValidString(q) || visible(q, false) != q || strings.ContainsAny(q, "\n\t") {
			t.Fatalf("%q is quoted %q", s, q)
		}
	})
}

func FuzzUnquote(f *testing.F) {
	for _, s := range []string{"abc", `"a\x41"`, `'it\'s'`, `"\`, `a"b"c`, "\"\x00\"", `"\x"`, ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		word, err := Unquote(s)
		if err != nil {
			return
		}
		if len(word) > len(s) {
			t.Errorf("%q grew to %q", s, word)
		}
		if again, err := Unquote(Quote(word)); again != word || err != nil {
			t.Errorf("%q: %q, %v", word, again, err)
		}
	})
}
