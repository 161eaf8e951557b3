package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Traffic plays the customers of the shop until ctx ends: about perSecond
// commands each second, on a connection of its own. They read only, popular
// keys far more often than others, and some 15% of what they ask for was never
// there. As sessions and pages of the sample data expire that share grows. It
// returns nil when ctx ends, and an error when the server is closed before.
func (s *Server) Traffic(ctx context.Context, perSecond int) error {
	if perSecond < 1 {
		<-ctx.Done()
		return nil
	}
	conn, err := s.Dial(ctx)
	if err != nil {
		return nilIfDone(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	crowd := newCrowd()
	w, r := bufio.NewWriter(conn), bufio.NewReader(conn)
	writeCommand(w, "CLIENT", "SETNAME", "customers")
	if err := exchange(w, r, 1); err != nil {
		return nilIfDone(ctx, err)
	}
	tick := time.NewTicker(max(10*time.Millisecond, time.Second/time.Duration(perSecond)))
	defer tick.Stop()
	last, owed := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			// A server that cannot keep up is not made to catch up with more than a second.
			owed = min(owed+now.Sub(last).Seconds()*float64(perSecond), float64(perSecond))
			last = now
		}
		n := int(owed)
		owed -= float64(n)
		for range n {
			writeCommand(w, crowd.next()...)
		}
		if err := exchange(w, r, n); err != nil {
			return nilIfDone(ctx, err)
		}
	}
}

func nilIfDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("traffic: %w", err)
}

// A crowd decides what the customers ask for, from a fixed seed.
type crowd struct {
	random                                            *rand.Rand
	product, session, user, page, board, tag, setting *rand.Zipf
}

func newCrowd() *crowd {
	r := rand.New(rand.NewPCG(11, 4))
	zipf := func(n uint64) *rand.Zipf { return rand.NewZipf(r, 1.2, 3, n-1) }
	return &crowd{r, zipf(products), zipf(sessions), zipf(users), zipf(pages), zipf(boards), zipf(tags), zipf(3)}
}

func (c *crowd) next() []string {
	switch share := c.random.IntN(100); {
	case share < 11:
		return []string{"GET", fmt.Sprintf("product:%04d", products+c.random.IntN(9000))}
	case share < 15:
		return []string{"GET", fmt.Sprintf("session:%08x", c.random.Uint32())}
	case share < 48:
		return []string{"GET", productKey(int(c.product.Uint64()))}
	case share < 66:
		return []string{"GET", sessionKey(int(c.session.Uint64()))}
	case share < 76:
		return []string{"HGET", userKey(int(c.user.Uint64())), "name"}
	case share < 86:
		return []string{"GET", pageKey(int(c.page.Uint64()))}
	case share < 91:
		return []string{"ZREVRANGE", boardKey(int(c.board.Uint64())), "0", "9", "WITHSCORES"}
	case share < 95:
		return []string{"SISMEMBER", tagKey(int(c.tag.Uint64())), "42"}
	default:
		return []string{"GET", []string{"config:maintenance", "config:currency", "config:vat"}[c.setting.Uint64()]}
	}
}

func writeCommand(w *bufio.Writer, args ...string) {
	fmt.Fprintf(w, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(w, "$%d\r\n%s\r\n", len(arg), arg)
	}
}

// exchange sends what was written and reads the n replies to it.
func exchange(w *bufio.Writer, r *bufio.Reader, n int) error {
	if err := w.Flush(); err != nil {
		return err
	}
	for ; n > 0; n-- {
		if err := skipReply(r); err != nil {
			return err
		}
	}
	return nil
}

// skipReply reads a reply of RESP 2 away. An error that the server answers is
// a reply like any other.
func skipReply(r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if line[0] != '$' && line[0] != '*' {
		return nil
	}
	n, err := strconv.Atoi(line[1 : len(line)-2])
	if err != nil {
		return err
	}
	if line[0] == '$' {
		if n >= 0 {
			_, err = io.CopyN(io.Discard, r, int64(n)+2)
		}
		return err
	}
	for ; n > 0; n-- {
		if err := skipReply(r); err != nil {
			return err
		}
	}
	return nil
}
