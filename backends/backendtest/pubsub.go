package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cachectl/cachectl/backends"
)

// listen reads a channel until a message "end", or an error, and returns what came before.
func listen(ctx context.Context, b backends.Subscriber, channel string, ready func()) ([]string, error) {
	var heard []string
	for message, err := range b.Subscribe(ctx, channel, ready) {
		if err != nil {
			return heard, err
		}
		if string(message) == "end" {
			return heard, nil
		}
		heard = append(heard, string(message))
	}
	return heard, errors.New("the stream ended without an error")
}

// testPublish: what is published is heard by all who listen, in order, whatever its bytes.
func (s Suite) testPublish(t *testing.T, b backends.Backend) {
	publisher, subscriber := must[backends.Publisher](t, b), must[backends.Subscriber](t, b)
	ctx := testContext(t)
	const listeners = 3
	for _, channel := range []string{"news", "{tag}x", "with space\r\n", "caf\xe9*?[", strings.Repeat("long", 100)} {
		if n, err := publisher.Publish(ctx, channel, []byte("nobody hears")); err != nil || n != 0 {
			t.Fatalf("Publish on %q = %d, %v; want none, for nobody listens", channel, n, err)
		}
		var listening, running sync.WaitGroup
		listening.Add(listeners)
		var heard [listeners][]string
		var errs [listeners]error
		for i := range listeners {
			running.Go(func() {
				ready := sync.OnceFunc(listening.Done)
				defer ready()
				heard[i], errs[i] = listen(ctx, subscriber, channel, ready)
			})
		}
		listening.Wait()
		want := []string{"", "\x00\xff\r\n", strings.Repeat("x", 1<<20)}
		for i := range 100 {
			want = append(want, fmt.Sprint("message ", i))
		}
		for _, message := range append(want, "end") {
			n, err := publisher.Publish(ctx, channel, []byte(message))
			if err != nil {
				t.Fatalf("Publish on %q: %v", channel, err)
			}
			if n < 0 || n > listeners {
				t.Errorf("Publish on %q reached %d of %d", channel, n, listeners)
			}
		}
		running.Wait()
		for i := range listeners {
			if errs[i] != nil || !slices.Equal(heard[i], want) {
				t.Errorf("%q: listener %d heard %d messages, %v; want %d", channel, i, len(heard[i]), errs[i], len(want))
			}
		}
	}
}

func (s Suite) testSubscribeEnds(t *testing.T, b backends.Backend) {
	publisher, subscriber := must[backends.Publisher](t, b), must[backends.Subscriber](t, b)
	if _, err := publisher.Publish(testContext(t), "warm", nil); err != nil { // what stays open is opened
		t.Fatal(err)
	}
	before := goroutines(t)

	ctx, cancel := context.WithCancelCause(testContext(t))
	why := errors.New("the caller's reason")
	if _, err := listen(ctx, subscriber, "quiet", func() { cancel(why) }); !errors.Is(err, why) {
		t.Errorf("cancelled while it listens: %v, want the context's cause", err)
	}
	settled(t, before)
	if _, err := listen(ctx, subscriber, "quiet", func() { t.Error("ready without a connection") }); !errors.Is(err, why) {
		t.Errorf("cancelled before: %v, want the context's cause", err)
	}

	for message, err := range subscriber.Subscribe(testContext(t), "left", func() {
		if _, err := publisher.Publish(testContext(t), "left", []byte("one")); err != nil {
			t.Error(err)
		}
	}) {
		if err != nil || string(message) != "one" {
			t.Errorf("%q, %v; want one", message, err)
		}
		break
	}
	settled(t, before)

	other := s.Open(t)
	defer other.Close()
	if _, err := listen(testContext(t), must[backends.Subscriber](t, other), "closed", func() { other.Close() }); err == nil {
		t.Error("the stream of a closed backend ended without an error")
	}
}

// testAskPublish: a Dialer's connections publish too.
func (s Suite) testAskPublish(t *testing.T, b backends.Backend) {
	subscriber := must[backends.Subscriber](t, b)
	lines := dialAll(t, b)
	for channel := range 20 {
		name := fmt.Sprint("channel ", channel)
		var ready, running sync.WaitGroup
		ready.Add(1)
		running.Go(func() {
			once := sync.OnceFunc(ready.Done)
			defer once()
			heard, err := listen(testContext(t), subscriber, name, once)
			if err != nil || !slices.Equal(heard, []string{"", "a\r\nb"}) {
				t.Errorf("%q: heard %q, %v", name, heard, err)
			}
		})
		ready.Wait()
		for _, message := range []string{"", "a\r\nb", "end"} {
			l := lines[channel%len(lines)] // any node reaches the listeners of all
			r := l.ask(t, &backends.Ask{Do: backends.AskPublish, Key: []byte(name), Value: []byte(message)})
			if r.Answer != backends.Done {
				t.Errorf("publish over %s: %s", l.node, told(r))
			}
		}
		running.Wait()
	}
}
