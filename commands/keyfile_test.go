package commands

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cachectl/cachectl/commands/render"
)

func readKeys(t *testing.T, format, content string) ([]string, error) {
	t.Helper()
	env, _, _ := testEnv()
	env.In = strings.NewReader(content)
	k := keyFile{path: "-", format: format}
	if err := k.parse(); err != nil {
		t.Fatal(err)
	}
	return k.read(env)
}

func TestKeyFile(t *testing.T) {
	for _, c := range []struct {
		format, content string
		want            []string
	}{
		{keysQuoted, "", nil},
		{keysQuoted, "\n\n", nil},
		{keysQuoted, "a\nb\n", []string{"a", "b"}},
		{keysQuoted, "a b\n\"a\\nb\"\n\"\"\n", []string{"a b", "a\nb", ""}},
		{keysQuoted, "\"\\x00\\xff\"\n", []string{"\x00\xff"}},
		{keysNull, "a\x00b\nc\x00\x00", []string{"a", "b\nc", ""}},
		{keysNDJSON, "{\"key\":\"a\",\"ttl_ms\":-1}\n\n{\"key_b64\":\"/wA=\"}\n\"bare\"\n", []string{"a", "\xff\x00", "bare"}},
	} {
		got, err := readKeys(t, c.format, c.content)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s %q: %q, %v; want %q", c.format, c.content, got, err, c.want)
		}
	}
	for _, c := range []struct{ format, content, want string }{
		{keysQuoted, "a\n\"torn", "line 2"},
		{keysQuoted, "a\r\nb\r\n", "carriage return"},
		{keysNDJSON, "{\"key\":\"a\"}\n{\"key\":\"b", "line 2"},
		{keysNDJSON, "{\"name\":\"a\"}\n", `neither "key" nor "key_b64"`},
		{keysNDJSON, "{\"key\":\"\xff\"}\n", "not UTF-8"},
		{keysNDJSON, "[1]\n", "line 1"},
	} {
		if got, err := readKeys(t, c.format, c.content); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %q, %v; want an error with %q", c.format, c.content, got, err, c.want)
		}
	}
}

// TestKeyFileReadsWhatLsPrints: any keys, in the two forms that quote and that do not.
func TestKeyFileReadsWhatLsPrints(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var keys []string
	var quoted, null bytes.Buffer
	for range 2000 {
		key := make([]byte, 1+random.IntN(20))
		for i := range key {
			if key[i] = byte(random.IntN(256)); random.IntN(2) == 0 {
				key[i] = `ab "'\*`[random.IntN(7)]
			}
		}
		if slices.Contains(keys, string(key)) {
			continue
		}
		keys = append(keys, string(key))
		quoted.WriteString(render.Quote(string(key)) + "\n")
		null.WriteString(strings.ReplaceAll(string(key), "\x00", "zero") + "\x00")
	}
	if got, err := readKeys(t, keysQuoted, quoted.String()); err != nil || !slices.Equal(got, keys) {
		t.Errorf("%d keys, %v; want the %d that were quoted", len(got), err, len(keys))
	}
	if got, err := readKeys(t, keysNull, null.String()); err != nil || len(got) != len(keys) {
		t.Errorf("%d keys, %v; want %d", len(got), err, len(keys))
	}
}
