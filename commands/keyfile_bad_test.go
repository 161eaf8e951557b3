package commands

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestKeyFile: what is not surely meant costs the whole file, not a key.
func TestKeyFilesThatAreNoSuch(t *testing.T) {
	for _, c := range []struct {
		format, text string
		keys         []string
		trouble      string
	}{
		{keysQuoted, "", nil, ""},
		{keysQuoted, "a\n\nb\na\n", []string{"a", "b"}, ""},
		{keysQuoted, "\"\"\n\"a\\nb\"\n", []string{"", "a\nb"}, ""},
		{keysQuoted, "user:10\nuser:1", nil, "line 2: it has no end"}, // of user:11, perhaps
		{keysQuoted, "a\n\"b", nil, "line 2: unquote"},
		{keysQuoted, "a\r\nb\r\n", nil, "carriage return"},
		{keysQuoted, "a\x00b\x00", nil, "NUL byte"},
		{keysQuoted, "\ufeffa\n", nil, "byte order mark"},
		{keysNull, "a\x00\x00b\nc\x00a\x00", []string{"a", "", "b\nc"}, ""},
		{keysNull, "user:10\x00user:1", nil, "line 2: it has no end"},
		{keysNDJSON, "{\"key\":\"a\"}\n\n\"b\"\n{\"key_b64\":\"/w==\"}", []string{"a", "b", "\xff"}, ""},
		{keysNDJSON, "{\"key\":\"a\"}\n{\"key\":\"us", nil, "line 2: unexpected end"},
		{keysNDJSON, "[]\n", nil, "neither a string nor an object"},
		{keysNDJSON, "null\n", nil, "neither \"key\" nor"},
		{keysNDJSON, "{\"key_b64\":\"!\"}\n", nil, "base64"},
		{keysNDJSON, "\"\xff\"\n", nil, "UTF-8"},
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		k := keyFile{path: path, format: c.format}
		keys, err := k.read(&Env{})
		switch {
		case c.trouble == "" && err != nil, c.trouble != "" && (err == nil || !strings.Contains(err.Error(), c.trouble)):
			t.Errorf("%s %q: error %v, want %q", c.format, c.text, err, c.trouble)
		case !slices.Equal(keys, c.keys):
			t.Errorf("%s %q: %q, want %q", c.format, c.text, keys, c.keys)
		}
	}
}
