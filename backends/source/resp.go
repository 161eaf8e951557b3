package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cachectl/cachectl/backends"
)

// RESPOptions say what becomes of commands.
type RESPOptions struct {
	// Strings makes strings (FormString) of the commands that do nothing but set one, so
	// that any cache can hold them: SET, SETEX and PSETEX, with a TTL, without conditions.
	Strings bool
}

// ErrOutOfStep says that an input of commands makes no sense from a place on: nobody can
// tell where the next command begins. What came before is whole.
var ErrOutOfStep = errors.New("out of step")

// RESP reads commands of Redis as "redis-cli --pipe" takes them: arrays of bulk strings, or
// lines. Each is an item, counted by Line; its Value is the command as it stood. Only
// commands that write the data of one key are let through, see writers; MSET is taken
// apart into SETs of one Line. "SELECT 0" is nothing.
//
// The input may be packed by gzip or zstd. r is at its beginning, and is not closed.
func RESP(r io.Reader, ro RESPOptions, o Options) Stream {
	o.complete()
	return func(yield func(Item, error) bool) {
		f, err := newFeed(r)
		if err == nil {
			defer f.close()
			err = f.resume(o.From)
		}
		if err != nil {
			yield(Item{}, err)
			return
		}
		c := commands{RESPOptions: ro, feed: f, options: o, yield: yield, skip: o.From.Skip}
		for f.want(1) {
			if !c.next() {
				return
			}
		}
		if err := f.trouble(); err != nil {
			yield(Item{}, err)
		}
	}
}

// commands is an input of commands that is read. Its feed's count is that of commands.
type commands struct {
	RESPOptions
	*feed
	options   Options
	keys      keyring
	args      [][]byte
	yield     func(Item, error) bool
	base      Offset // where the command begins, or the SELECT that leads elsewhere
	within    int64  // items since, where there may be more of them
	skip      int64  // items that are done, of those that begin where we went on
	elsewhere string // the SELECT of another database; empty: this one
}

// A span is where an argument stands, from where its command begins.
type span struct{ from, to int }

// firstArgs are as many arguments as one has to see to know what a command is.
const firstArgs = 8

// emit yields an item or a bad record, unless it is done. last says that nothing more
// comes of the command.
func (c *commands) emit(it Item, bad *BadRecord, last bool) bool {
	at := c.offset()
	if !last || c.elsewhere != "" {
		c.within++
		at = Offset{Byte: c.base.Byte, Line: c.base.Line, Skip: c.within}
	}
	if c.skip > 0 {
		c.skip--
		return true
	}
	if bad != nil {
		bad.Offset = at
		return c.yield(Item{}, bad)
	}
	it.Offset = at
	return c.yield(it, nil)
}

// next yields what a command brings, and tells whether to go on.
func (c *commands) next() bool {
	var raw []byte
	if c.elsewhere == "" {
		c.base, c.within = c.offset(), 0
	}
	switch first := c.buf[c.pos]; first {
	case '\r', '\n':
		c.take(1)
		return true
	case '*':
		var err error
		if raw, err = c.array(); err != nil {
			var bad *BadRecord
			if errors.As(err, &bad) {
				return c.emit(Item{}, bad, true)
			}
			c.yield(Item{}, err)
			return false
		}
		if len(raw) == 0 { // "*0", which the server passes over too
			return true
		}
	case '$', ':', '+', '-', '_', '%', '~', '>', '#', ',', '(', '!', '=', '|':
		c.yield(Item{}, c.outOfStep(0, "a command begins with \"*\", not with %q", first))
		return false
	default:
		count := c.count
		line, long, ok := c.line(c.options.MaxRecord)
		if !ok {
			return c.trouble() == nil
		}
		c.count = count + 1
		var err error
		if long {
			err = because("a line of more than %d bytes", c.options.MaxRecord)
		} else if c.args, err = splitLine(c.args[:0], line); err == nil && len(c.args) == 0 {
			c.count = count
			return true
		}
		if err != nil {
			return c.emit(Item{}, &BadRecord{Line: c.count, Reason: err.Error(), Raw: line}, true)
		}
		raw = backends.AppendCommand(nil, c.args...)
	}
	return c.judge(raw)
}

// judge yields the items of a command whose first arguments are in c.args.
func (c *commands) judge(raw []byte) bool {
	w, err := writerOf(c.args)
	if w.name == "SELECT" {
		if c.elsewhere = ""; err == nil {
			return true
		}
		c.elsewhere = fmt.Sprintf("%.40q", bytes.Join(c.args, []byte{' '}))
	} else if c.elsewhere != "" && err == nil {
		err = because("it stands behind %s, and would go to that database", c.elsewhere)
	}
	if err != nil {
		bad := &BadRecord{Line: c.count, Reason: err.Error(), Raw: raw}
		if w.secret {
			bad.Raw = nil
		} else if w.key > 0 && w.key < len(c.args) {
			bad.Key = string(c.args[w.key])
		}
		return c.emit(Item{}, bad, true)
	}
	if w.name == "MSET" {
		return c.several(raw)
	}
	it := Item{Line: c.count, Heat: math.NaN()}
	it.Key, it.Form, it.Value = c.keys.of(c.args[w.key]), backends.FormCommand, raw
	if c.Strings {
		c.asString(&it, w.name)
	}
	return c.emit(it, nil, true)
}

// several yields the SETs of an MSET.
func (c *commands) several(raw []byte) bool {
	args, err := backends.Command(raw)
	if err == nil && len(args)%2 == 0 {
		err = reason("MSET has a key without a value")
	}
	if err != nil {
		return c.emit(Item{}, &BadRecord{Line: c.count, Reason: err.Error(), Raw: raw}, true)
	}
	for i := 1; i < len(args); i += 2 {
		it := Item{Line: c.count, Heat: math.NaN()}
		if it.Key = c.keys.of(args[i]); c.Strings {
			it.Form, it.Type, it.Value = backends.FormString, backends.FormString, args[i+1]
		} else {
			it.Form, it.Value = backends.FormCommand, backends.AppendCommand(nil, []byte("SET"), args[i], args[i+1])
		}
		if !c.emit(it, nil, i+2 == len(args)) {
			return false
		}
	}
	return true
}

func (c *commands) outOfStep(at int, format string, args ...any) error {
	return fmt.Errorf("%w at byte %d, in command %d, which begins at byte %d: %s", ErrOutOfStep, c.at+int64(at), c.count+1, c.at, fmt.Sprintf(format, args...))
}

// cut is the error of an input that ends inside a command.
func (c *commands) cut() error {
	if err := c.trouble(); err != nil {
		return err
	}
	return c.outOfStep(len(c.buf)-c.pos, "the input ends inside it")
}

// array takes a command and sets c.args to its first arguments. Of one above the bound
// the error is a *BadRecord; of an empty one nothing comes.
func (c *commands) array() ([]byte, error) {
	n, i, err := c.number(0, '*')
	if err != nil {
		return nil, err
	}
	if n <= 0 {
		c.take(i)
		return nil, nil
	}
	var spans [firstArgs]span
	for k := range n {
		var size int
		if size, i, err = c.number(i, '$'); err != nil {
			return nil, err
		}
		if size < 0 {
			return nil, c.outOfStep(i, "an argument of length %d", size)
		}
		if k < firstArgs {
			spans[k] = span{i, i + size}
		}
		if i+size+2 > c.options.MaxRecord {
			return nil, c.tooLarge(n-k, i, size, spans[:min(k, firstArgs)])
		}
		if !c.want(i + size + 2) {
			return nil, c.cut()
		}
		if end := c.buf[c.pos+i+size:]; end[0] != '\r' || end[1] != '\n' {
			return nil, c.outOfStep(i+size, "an argument of %d bytes does not end there", size)
		}
		i += size + 2
	}
	raw := c.take(i)
	c.count++
	c.args = c.args[:0]
	for _, s := range spans[:min(n, firstArgs)] {
		c.args = append(c.args, raw[s.from:s.to:s.to])
	}
	return raw, nil
}

// tooLarge passes over a command above the bound, of which left arguments are not read;
// the next has size bytes from i on.
func (c *commands) tooLarge(left, i, size int, seen []span) error {
	bad := &BadRecord{Line: c.count + 1, Reason: fmt.Sprintf("a command of more than %d bytes", c.options.MaxRecord)}
	c.want(min(i+size, rawBytes))
	bad.Raw = bytes.Clone(c.buf[c.pos:min(c.pos+rawBytes, len(c.buf))])
	c.args = c.args[:0]
	for _, s := range seen {
		c.args = append(c.args, c.buf[c.pos+s.from:c.pos+s.to])
	}
	if w, err := writerOf(c.args); err == nil && w.key < len(c.args) {
		bad.Key = string(c.args[w.key])
	}
	for {
		if !c.feed.skip(int64(i)+int64(size)) || !c.want(2) {
			return c.cut()
		}
		if c.buf[c.pos] != '\r' || c.buf[c.pos+1] != '\n' {
			return c.outOfStep(0, "an argument of %d bytes does not end there", size)
		}
		c.take(2)
		if left--; left == 0 {
			break
		}
		var err error
		if size, i, err = c.number(0, '$'); err != nil {
			return err
		}
		if size < 0 {
			return c.outOfStep(i, "an argument of length %d", size)
		}
	}
	c.count++
	return bad
}

// Bounds of what a command may claim: proto-max-bulk-len's default, and the server's own.
const (
	mostBulk = 512 << 20
	mostArgs = 1 << 20
)

// number reads "*3\r\n" at i, and says where it ends.
func (c *commands) number(i int, kind byte) (n, end int, err error) {
	c.want(i + 16)
	b := c.buf[c.pos+i:]
	if len(b) == 0 {
		return 0, 0, c.cut()
	}
	if b[0] != kind {
		return 0, 0, c.outOfStep(i, "%q where %q is to be", b[0], kind)
	}
	at, negative := 1, false
	if len(b) > 1 && b[1] == '-' {
		at, negative = 2, true
	}
	first := at
	for ; at < len(b) && at < 14 && b[at] >= '0' && b[at] <= '9'; at++ {
		n = n*10 + int(b[at]-'0')
	}
	switch {
	case at+1 >= len(b) && len(b) < 16:
		return 0, 0, c.cut()
	case at > first && b[at] == '\n':
		return 0, 0, c.outOfStep(i+at, "a line that ends with LF alone: lines of commands end with CRLF, and lengths count bytes as they stand")
	case at == first, b[at] != '\r', b[at+1] != '\n':
		return 0, 0, c.outOfStep(i+at, "no length behind %q", kind)
	case kind == '*' && n > mostArgs, n > mostBulk:
		return 0, 0, c.outOfStep(i, "a length of %d, which no server takes", n)
	}
	if negative {
		n = -n
	}
	return n, i + at + 2, nil
}
