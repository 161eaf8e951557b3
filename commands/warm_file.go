package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cachectl/cachectl/backends/archive"
	input "github.com/cachectl/cachectl/backends/source"
	"github.com/cachectl/cachectl/commands/render"
)

// The formats of files.
const (
	formatNDJSON = "ndjson"
	formatCSV    = "csv"
	formatTSV    = "tsv"
	formatRESP   = "resp"
	formatBackup = "backup"
)

var fileFormats = []string{formatNDJSON, formatCSV, formatTSV, formatRESP, formatBackup}

// fromFile makes the feed of a file.
func (o *warm) fromFile(ctx context.Context, env *Env, args []string) error {
	if len(args) != 1 {
		return usagef("one file is wanted, or - for standard input")
	}
	path := args[0]
	if path == "-" {
		return o.fromStdin(ctx, env)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	args[0] = whole // what the journal remembers, wherever the run goes on
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	head := make([]byte, 64)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		o.format, err = o.formatOf(path, head[:n])
	}
	if err != nil {
		return err
	}
	f := &streamFeed{filling: &o.filling, hottest: o.hottest, sampled: true, stand: "line"}
	if !isPacked(head[:n]) && o.format != formatBackup {
		f.size = info.Size()
	}
	f.lines = [][2]string{{"format", o.format + ", " + render.Bytes(info.Size()).Text}}
	o.from, o.feed = whole, f
	if info.Mode().IsRegular() {
		o.recording.file = info
	}
	if o.format == formatBackup {
		f.stand = "record"
		f.open = func(_ context.Context, at input.Offset) (input.Stream, func() error, error) {
			r, err := archive.Open(path)
			if err != nil {
				return nil, nil, err
			}
			return input.Backup(r, input.Options{From: at, Now: env.Now}), r.Close, nil
		}
		return nil
	}
	f.open = func(_ context.Context, at input.Offset) (input.Stream, func() error, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, nil, err
		}
		s, err := o.stream(file, input.Options{From: at, Now: env.Now})
		return s, file.Close, err
	}
	return o.checkMapping(f)
}

// fromStdin makes the feed of standard input, which can be read once.
func (o *warm) fromStdin(_ context.Context, env *Env) error {
	in := bufio.NewReaderSize(env.In, 64<<10)
	if o.format == "" {
		head, err := in.Peek(1)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if o.format, err = o.formatOf("-", head); err != nil {
			return err
		}
	}
	if o.format == formatBackup {
		return usagef("a backup is read from a file, because it is read twice")
	}
	f := &streamFeed{filling: &o.filling, hottest: o.hottest, stand: "line", lines: [][2]string{{"format", o.format}}}
	f.open = func(ctx context.Context, at input.Offset) (input.Stream, func() error, error) {
		s, err := o.stream(interruptible(ctx, in), input.Options{From: at, Now: env.Now})
		return s, func() error { return nil }, err
	}
	o.from, o.feed = "-", f
	return o.checkMapping(f)
}

func (o *warm) checkMapping(f *streamFeed) error {
	if o.format == formatRESP {
		f.stand = "command"
		if o.mapping != (input.Mapping{}) {
			return usagef("--key and the other flags about rows do not go with commands (resp)")
		}
		return nil
	}
	if o.mapping.Key == "" {
		if o.format == formatNDJSON && o.mapping == (input.Mapping{}) {
			return nil
		}
		return withHint(usagef("no --key: what each row's key is"), "a template of its fields: --key 'user:{id}'")
	}
	if err := o.mapping.Validate(); err != nil {
		return &usageError{err}
	}
	return nil
}

// stream reads a file that is no backup.
func (o *warm) stream(r io.Reader, so input.Options) (input.Stream, error) {
	switch o.format {
	case formatNDJSON:
		if o.mapping.Key == "" {
			return input.NDJSON(r, nil, so), nil
		}
		return input.NDJSON(r, &o.mapping, so), nil
	case formatRESP:
		return input.RESP(r, input.RESPOptions{Strings: true}, so), nil
	}
	c := input.CSVOptions{NoHeader: o.headless, NoQuotes: o.noQuotes}
	if o.format == formatTSV {
		c.Comma = '\t'
	}
	if o.delimiter != "" {
		text := strings.ReplaceAll(o.delimiter, `\t`, "\t")
		if len(text) != 1 {
			return nil, usagef("bad --delimiter %q: it is one character, such as ; or \\t", o.delimiter)
		}
		c.Comma = text[0]
	}
	return input.CSV(r, o.mapping, c, so), nil
}

// formatOf is --format, or what the name says, or how the file begins.
func (o *warm) formatOf(path string, head []byte) (string, error) {
	if o.format != "" {
		for _, known := range fileFormats {
			if o.format == known {
				return known, nil
			}
		}
		return "", usagef("bad --format %q: it is one of %s", o.format, strings.Join(fileFormats, ", "))
	}
	if strings.HasPrefix(string(head), "\x89cachectl backup") {
		return formatBackup, nil
	}
	name := strings.ToLower(path)
	for _, packed := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, packed)
	}
	switch filepath.Ext(name) {
	case ".ndjson", ".jsonl", ".json":
		return formatNDJSON, nil
	case ".csv":
		return formatCSV, nil
	case ".tsv", ".tab":
		return formatTSV, nil
	case ".resp", ".aof", ".redis":
		return formatRESP, nil
	}
	switch text := strings.TrimLeft(string(head), "\ufeff \t\r\n"); {
	case strings.HasPrefix(text, "{"):
		return formatNDJSON, nil
	case strings.HasPrefix(text, "*"):
		return formatRESP, nil
	}
	return "", withHint(usagef("%s: neither its name nor its beginning tells what it is", path), "--format is one of %s", strings.Join(fileFormats, ", "))
}

func isPacked(head []byte) bool {
	return len(head) >= 4 && (head[0] == 0x1f && head[1] == 0x8b || head[0] == 0x28 && head[1] == 0xb5 || head[0]&0xf0 == 0x50 && head[1] == 0x2a)
}

// interruptible reads r until ctx ends, also where r waits for somebody who types. The
// read under way ends with the process at the latest.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	return &interruptibleReader{ctx: ctx, r: r}
}

type interruptibleReader struct {
	ctx  context.Context
	r    io.Reader
	buf  []byte
	rest []byte
}

func (i *interruptibleReader) Read(p []byte) (int, error) {
	if len(i.rest) > 0 {
		n := copy(p, i.rest)
		i.rest = i.rest[n:]
		return n, nil
	}
	if i.buf == nil {
		i.buf = make([]byte, 256<<10)
	}
	type got struct {
		n   int
		err error
	}
	done := make(chan got, 1)
	go func() {
		n, err := i.r.Read(i.buf)
		done <- got{n, err}
	}()
	select {
	case <-i.ctx.Done():
		return 0, fmt.Errorf("standard input: %w", context.Cause(i.ctx))
	case g := <-done:
		i.rest = i.buf[:g.n]
		n := copy(p, i.rest)
		i.rest = i.rest[n:]
		if n > 0 {
			return n, nil
		}
		return n, g.err
	}
}
