package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A dump is the answer to one "lru_crawler metadump", on a connection of its
// own, drained into a spool at the speed at which the server sends.
//
// What a reader that pauses does to a server (measured): before 1.6.19 it
// stalls every client in hash mode; before 1.6.44 it makes the server write
// behind its buffer; in all versions it blocks the worker thread that the next
// lru_crawler command comes to. So nothing that the consumer does reaches the
// connection, and a drain that began goes on to END.
type dump struct {
	*conn
	spool  *spool
	limits limits
	most   int64         // lines that the server can have at best
	done   chan struct{} // closed when the drain is over and the connection closed
}

// limits bound what a server can make us do. Tests lower them.
type limits struct {
	memory  int           // bytes of a dump in memory; beyond, a file
	line    int           // bytes of a dump's line: a key of 250 bytes, all escaped, has 750
	surplus int64         // lines beyond twice the keys that the server told of
	grace   time.Duration // what a dump that nobody reads any more gets before it is closed, where that is safe
	backoff time.Duration // before the first retry when the crawler is busy
	retries int
}

var defaultLimits = limits{
	memory: 64 << 20, line: 8 << 10, surplus: 4 << 20,
	grace: 3 * time.Second, backoff: time.Second, retries: 5,
}

// silence is how many timeouts may pass without a byte in mid-dump. The
// crawler rests for 0.1 ms a thousand items, and holds still while the table
// is locked.
const silence = 4

// receiveBuffer is what is asked for; the system may grant less. What fits in
// is what the server gets rid of while this process is stopped.
const receiveBuffer = 4 << 20

// A crawlMode is how the server finds its keys.
type crawlMode string

const (
	// byHash walks the hash table: complete. From 1.6.19 it holds no lock
	// while it writes to us.
	byHash crawlMode = "hash"
	// byLRU walks the LRU lists, and misses keys that move in them meanwhile:
	// those in use. All versions from 1.4.31 have it.
	byLRU crawlMode = "all"
)

// mode is the best that is safe on this server.
func (p profile) mode() crawlMode {
	if p.version.atLeast(1, 6, 19) {
		return byHash
	}
	return byLRU
}

// closable tells whether a server outlives that a dump is closed before its end
// (fixed in 1.6.26).
func (p profile) closable() bool { return p.version.atLeast(1, 6, 26) }

// errBusy: another dump or the server's own crawl goes on, or the table grows.
var errBusy = errors.New("the crawler is busy")

// startDump asks for a dump until it gets one. Waits are long and few: each BUSY
// keeps the server from expiring keys in the background for a minute
// (crawler.c, lru_crawler_start).
func (n *node) startDump(ctx context.Context, mode crawlMode, p profile, l limits) (*dump, error) {
	for attempt := 0; ; attempt++ {
		d, err := n.tryDump(ctx, mode, p, l)
		if err == nil || !errors.Is(err, errBusy) || attempt == l.retries {
			return d, err
		}
		wait := l.backoff << min(attempt, 3)
		wait += time.Duration(time.Now().UnixNano()) % (wait/2 + 1) // so that two of us do not meet again
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// tryDump asks once, and starts the drain if a dump comes.
func (n *node) tryDump(ctx context.Context, mode crawlMode, p profile, l limits) (*dump, error) {
	c, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.Conn.(interface{ SetReadBuffer(int) error }); ok {
		tcp.SetReadBuffer(receiveBuffer)
	}
	d := &dump{conn: c, spool: newSpool(l.memory), limits: l, done: make(chan struct{})}
	if d.most = l.surplus; p.items > 0 {
		d.most += 2 * min(p.items, 1<<40)
	}
	// From here on the context must not reach the connection: once the server
	// sends, it is read to the end.
	c.ctx = context.Background()
	first, err := d.head(mode)
	if err != nil {
		c.Close()
		return nil, err
	}
	over := beginDump()
	go func() {
		defer close(d.done)
		defer over()
		defer c.Close()
		d.spool.close(d.drain(first))
	}()
	return d, nil
}

// head sends the command and reads the line that tells whether a dump follows.
// 1.6.43 says OK first.
func (d *dump) head(mode crawlMode) ([]byte, error) {
	line, err := d.ask("lru_crawler metadump " + string(mode))
	if err == nil && string(line) == "OK" {
		line, err = d.conn.line()
	}
	switch {
	case err != nil:
		return nil, err
	case bytes.HasPrefix(line, []byte("BUSY")), bytes.HasPrefix(line, []byte("ERROR locked")):
		return nil, fmt.Errorf("%w: %w", errBusy, replyError(line))
	case isErrorLine(line):
		return nil, replyError(line)
	case bytes.HasPrefix(line, []byte("key=")), string(line) == "END":
		return bytes.Clone(line), nil
	}
	return nil, unexpected("lru_crawler metadump", line)
}

// drain reads to the end marker, whatever the reader of the spool does. Its
// error says why the dump is not whole.
func (d *dump) drain(first []byte) error {
	end := isEnd(first)
	d.spool.add(append(first, '\n'))
	if end {
		return nil
	}
	var (
		lines  = int64(1)
		open   = 0 // bytes since the last line's end
		tail   = []byte{'\n'}
		buffer = make([]byte, chunkSize)
	)
	for {
		n, err := d.fill(buffer)
		if got := buffer[:n]; n > 0 {
			d.spool.add(got)
			lines += int64(bytes.Count(got, []byte{'\n'}))
			if open += n; bytes.IndexByte(got, '\n') >= 0 {
				open = n - 1 - bytes.LastIndexByte(got, '\n')
			}
			tail = lastBytes(tail, got, len(endMarker))
		}
		switch {
		case bytes.Equal(tail, endMarker):
			return nil
		case open > d.limits.line:
			return errLongLine
		case lines > d.most:
			return fmt.Errorf("%w: the dump does not end: %d lines, twice what the server said it holds", errProtocol, lines)
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the dump broke off after %d lines: %w", lines, io.ErrUnexpectedEOF)
		case err != nil:
			return fmt.Errorf("the dump broke off after %d lines: %w", lines, err)
		}
	}
}

var endMarker = []byte("\nEND\r\n")

func lastBytes(tail, more []byte, n int) []byte {
	if len(more) >= n {
		return append(tail[:0], more[len(more)-n:]...)
	}
	tail = append(tail, more...)
	return tail[max(0, len(tail)-n):]
}

// fill reads what there is. A deadline that passed may mean that not the server
// but this process stood still (SIGSTOP, a laptop's lid), with bytes waiting to
// be read: only the second in a row counts.
func (d *dump) fill(buffer []byte) (int, error) {
	d.Conn.SetReadDeadline(time.Now().Add(silence * d.timeout))
	n, err := d.r.Read(buffer)
	var network net.Error
	if n == 0 && errors.As(err, &network) && network.Timeout() {
		d.Conn.SetReadDeadline(time.Now().Add(d.timeout))
		n, err = d.r.Read(buffer)
	}
	return n, err
}

// finish waits for the end of the drain. The reader wants no more: a server that
// outlives it is hung up after a grace, any other is read out.
func (d *dump) finish(closable bool) {
	d.spool.drop()
	if closable {
		timer := time.AfterFunc(d.limits.grace, func() { d.Conn.Close() })
		defer timer.Stop()
	}
	<-d.done
	d.spool.drop()
}
