package commands

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/commands/render"
)

// A keyFile names keys one by one: a file, or "-" for standard input.
type keyFile struct {
	path   string
	format string
}

// The forms that a key file may have, each what "ls" prints.
const (
	keysQuoted = "quoted" // ls --columns key --no-header
	keysNull   = "null"   // ls -0
	keysNDJSON = "ndjson" // ls -o ndjson
)

func (k *keyFile) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.path, "key-file", "", "the keys that this `FILE` names, - for standard input")
	f.StringVar(&k.format, "key-format", keysQuoted, "how the key file is written: quoted (a line a key, odd ones in double quotes, as ls prints them), null (as ls -0) or ndjson (as ls -o ndjson)")
	complete(cmd, "key-format", keysQuoted, keysNull, keysNDJSON)
	cmd.MarkFlagFilename("key-file")
}

// longestKey is the longest that a server takes by default (proto-max-bulk-len).
const longestKey = 512 << 20

// read brings all keys, each once, before anything is done with the first: a file that makes
// no sense in its last line must not cost the keys of the others.
func (k *keyFile) read(env *Env) ([]string, error) {
	in := env.In
	if k.path != "-" {
		f, err := os.Open(k.path)
		if err != nil {
			return nil, fmt.Errorf("key file: %w", err)
		}
		defer f.Close()
		in = f
	}
	var end byte = '\n'
	if k.format == keysNull {
		end = 0
	}
	var keys []string
	named := make(map[string]struct{})
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), longestKey)
	ended := true
	lines.Split(until(end, &ended))
	for n := 1; lines.Scan(); n++ {
		key, skip, err := k.key(lines.Bytes())
		if err == nil && !skip && !ended && k.format != keysNDJSON {
			err = fmt.Errorf("it has no end, as a file that was cut short: a %s is missing behind the last key", map[byte]string{'\n': "newline", 0: "NUL byte"}[end])
		}
		if err != nil {
			return nil, fmt.Errorf("key file: %s, line %d: %w", k.path, n, err)
		}
		if _, twice := named[key]; !skip && !twice {
			named[key] = struct{}{}
			keys = append(keys, key)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("key file: %s: %w", k.path, err)
	}
	return keys, nil
}

// until splits at a byte. ended is false where what stands behind the last one is
// brought: of a file that was cut short it is a part of a name, which may be another
// key's.
func until(end byte, ended *bool) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, end); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEOF && len(data) > 0 {
			*ended = false
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}

// key reads one line. Blank lines are skipped: the empty key is written "".
func (k *keyFile) key(line []byte) (key string, skip bool, err error) {
	switch k.format {
	case keysNull:
		return string(line), false, nil
	case keysNDJSON:
		if len(bytes.TrimSpace(line)) == 0 {
			return "", true, nil
		}
		return jsonKey(line)
	}
	text := string(line)
	if text == "" {
		return "", true, nil
	}
	if strings.HasSuffix(text, "\r") {
		return "", false, errors.New("it ends in a carriage return: a file from Windows? A key that really does is written in quotes")
	}
	if strings.Contains(text, "\x00") {
		return "", false, errors.New("it has a NUL byte: --key-format null? A key that really has one is written in quotes")
	}
	if strings.HasPrefix(text, "\ufeff") {
		return "", false, errors.New("it begins with a byte order mark. A key that really does is written in quotes")
	}
	if strings.HasPrefix(text, `"`) {
		key, err := render.Unquote(text)
		return key, false, err
	}
	return text, false, nil
}

// jsonKey reads an object with a member key or key_b64, or a bare string.
func jsonKey(line []byte) (key string, skip bool, err error) {
	var object struct {
		Key   *string `json:"key"`
		Bytes *[]byte `json:"key_b64"`
	}
	if !utf8.Valid(line) {
		return "", false, errors.New("it is not UTF-8: other keys are written as key_b64")
	}
	if line = bytes.TrimSpace(line); line[0] == '"' {
		object.Key = &key
		err = json.Unmarshal(line, object.Key)
	} else {
		err = json.Unmarshal(line, &object)
	}
	switch {
	case errors.As(err, new(*json.UnmarshalTypeError)):
		return "", false, errors.New(`it is neither a string nor an object with "key" or "key_b64"`)
	case err != nil:
		return "", false, err
	case object.Bytes != nil:
		return string(*object.Bytes), false, nil
	case object.Key == nil:
		return "", false, errors.New(`it has neither "key" nor "key_b64"`)
	}
	return *object.Key, false, nil
}

// parse checks the flags.
func (k *keyFile) parse() error {
	switch k.format {
	case keysQuoted, keysNull, keysNDJSON:
		return nil
	}
	return usagef("bad --key-format %q: it is quoted, null or ndjson", k.format)
}
