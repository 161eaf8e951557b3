package commands

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

// A reject is a record that was not loaded, and why.
type reject struct {
	line   int64  // 0: unknown
	key    string // where it is known
	reason string
	raw    []byte           // as it stood in the source; nil: record says more
	record *backends.Record // what the server refused
}

// rejects are where they go: a file, the first of them on stderr, and a bound.
type rejects struct {
	path string
	most int64

	file   *os.File
	synced bool
	first  []reject // to be named
	buffer bytes.Buffer
}

func (r *rejects) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.path, "rejects", "", "write records that cannot be loaded to a `file` (NDJSON), with line and reason")
	f.Int64Var(&r.most, "max-errors", -1, "stop when more than `N` records cannot be loaded; any number by default")
	cmd.MarkFlagFilename("rejects")
}

func (r *rejects) parse() error {
	if r.most < -1 {
		return usagef("bad --max-errors %d: it is at least 0", r.most)
	}
	return nil
}

// open begins the file, or goes on with it. synced is whether what is written must be
// durable before anybody goes on.
func (r *rejects) open(again, synced bool) (err error) {
	if r.path == "" {
		return nil
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if !again {
		flags |= os.O_TRUNC
	}
	r.synced = synced
	if r.file, err = os.OpenFile(r.path, flags, 0o600); err != nil {
		err = fmt.Errorf("rejects: %w", err)
	}
	return err
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// take writes rejects, all or none.
func (r *rejects) take(some []reject) error {
	if n := named - len(r.first); n > 0 {
		for _, one := range some[:min(n, len(some))] {
			r.first = append(r.first, reject{line: one.line, key: strings.Clone(one.key), reason: one.reason})
		}
	}
	if r.file == nil || len(some) == 0 {
		return nil
	}
	r.buffer.Reset()
	for i := range some {
		line, err := json.Marshal(some[i].document())
		if err != nil {
			return err
		}
		r.buffer.Write(append(line, '\n'))
	}
	_, err := r.file.Write(r.buffer.Bytes())
	if err == nil && r.synced {
		err = r.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("rejects: %w", err)
	}
	return err
}

// A rejectLine is how a reject is written.
type rejectLine struct {
	Line   int64           `json:"line,omitempty"`
	Key    string          `json:"key,omitempty"`
	Key64  []byte          `json:"key_b64,omitempty"`
	Reason string          `json:"reason"`
	Raw    string          `json:"raw,omitempty"`
	Raw64  []byte          `json:"raw_b64,omitempty"`
	Record json.RawMessage `json:"record,omitempty"` // as warm reads it from NDJSON
}

func (r *reject) document() rejectLine {
	d := rejectLine{Line: r.line, Reason: r.reason}
	if utf8.ValidString(r.key) {
		d.Key = r.key
	} else {
		d.Key64 = []byte(r.key)
	}
	if r.record != nil {
		d.Record = recordJSON(r.record)
	} else if utf8.Valid(r.raw) {
		d.Raw = string(r.raw)
	} else {
		d.Raw64 = r.raw
	}
	return d
}

// err names the first.
func (r *rejects) err(n int64, stands string) error {
	var all []error
	for _, one := range r.first {
		text := one.reason
		if one.key != "" {
			text = render.Quote(one.key) + ": " + text
		}
		if one.line > 0 {
			text = fmt.Sprintf("%s %d: %s", stands, one.line, text)
		}
		all = append(all, errors.New(text))
	}
	if more := n - int64(len(r.first)); more > 0 {
		all = append(all, fmt.Errorf("and %s more", plural(more, "record")))
	}
	return errors.Join(all...)
}

func (r *rejects) hint() string {
	if r.path != "" {
		return "they are in " + r.path
	}
	return "--rejects FILE keeps them, with line and reason"
}

// over tells whether there are more than were allowed.
func (r *rejects) over(n int64) error {
	if r.most < 0 || n <= r.most {
		return nil
	}
	return &checkError{fmt.Sprintf("%s cannot be loaded, and --max-errors %d allows no more: stopped", plural(n, "record"), r.most)}
}
