package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime/pprof"
	"strconv"
	"testing"
	"time"

	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/backends/backendtest/servers"
	"github.com/cachectl/cachectl/backends/redis"
	"github.com/cachectl/cachectl/loadgen"
)

// A loadJob is what a child process of the benchmarks sends, so that its CPU is that of the
// generator alone.
type loadJob struct {
	Addr    string
	Traffic loadgen.Traffic
	Depth   int
	Profile string // file for a CPU profile
}

// A loadResult is what it says of it.
type loadResult struct {
	Done            uint64
	Invalid         []string
	Late            [3]time.Duration // p50, p99, maximum
	Latency         [3]time.Duration
	Due, Sent       uint64
	Rate            float64
	User, Sys, Wall float64 // seconds, from the process' usage
}

const loadVariable = "BENCH_LOAD_JOB"

// TestMain lets the test binary be the child, too.
func TestMain(m *testing.M) {
	text, child := os.LookupEnv(loadVariable)
	if !child {
		os.Exit(m.Run())
	}
	if err := sendLoad(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func sendLoad(text string) error {
	var job loadJob
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return err
	}
	ctx := context.Background()
	b, err := redis.Open(ctx, &url.URL{Scheme: "redis", Host: job.Addr})
	if err != nil {
		return err
	}
	defer b.Close()
	if job.Profile != "" {
		f, err := os.Create(job.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	r, err := loadgen.Send(ctx, loadgen.Config{Traffic: job.Traffic, Dialer: b.(backends.Dialer), Prefix: "key:", Depth: job.Depth})
	if err != nil {
		return err
	}
	out := loadResult{Invalid: r.Invalid}
	var latency loadgen.Histogram
	for i := range r.Tallies {
		t := &r.Tallies[i]
		out.Done += t.Done
		out.Due += t.Due
		out.Sent += t.Sent
		latency.Merge(&t.Latency)
	}
	out.Rate = float64(out.Sent) / r.Length.Seconds()
	for i, q := range []float64{0.5, 0.99, 1} {
		out.Late[i], out.Latency[i] = r.Late.Quantile(q), latency.Quantile(q)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// load runs a job in a child.
func load(b testing.TB, job loadJob) loadResult {
	b.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), loadVariable+"="+string(text))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("load: %v\n%s", err, errs.String())
	}
	var r loadResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		b.Fatal(err)
	}
	r.User, r.Sys = cmd.ProcessState.UserTime().Seconds(), cmd.ProcessState.SystemTime().Seconds()
	r.Wall = time.Since(start).Seconds()
	return r
}

// loadKeys is how many keys the requests are about, half of which are there in the beginning.
const loadKeys = 100_000

func loadTraffic(mix loadgen.Mix, phase loadgen.Phase) loadgen.Traffic {
	return loadgen.Traffic{
		Seed: 1, Phases: []loadgen.Phase{phase}, Mix: mix,
		Keys:  loadgen.Keys{N: loadKeys, Law: loadgen.Uniform},
		Sizes: loadgen.Sizes{Law: loadgen.Range, Min: 3, Max: 64},
	}
}

// BenchmarkLoad: CPU of the client for a million requests, as fast as they come over 50
// connections, beside redis-benchmark, one thread each.
func BenchmarkLoad(b *testing.B) {
	s := servers.Redis(b, servers.Default(b), servers.Options{})
	for _, depth := range []int{1, 16} {
		for _, test := range []string{"set", "get"} {
			b.Run(fmt.Sprintf("%s/pipeline=%d", test, depth), func(b *testing.B) {
				mix := map[string]loadgen.Mix{"get": {Read: 1}, "set": {Write: 1}}[test]
				length := 4 * time.Second
				if depth > 1 {
					length /= 2
				}
				var ours, peer []figure
				for range b.N {
					job := loadJob{Addr: s.Addr, Depth: depth, Traffic: loadTraffic(mix, loadgen.Phase{Length: length}), Profile: os.Getenv("BENCH_LOAD_PROFILE")}
					r := load(b, job)
					if len(r.Invalid) > 0 || r.Done == 0 {
						b.Fatalf("%+v", r)
					}
					per := 1e6 / float64(r.Done)
					b.Logf("ours            %8.0f/s, CPU for a million %.3f s user, %.3f s system", r.Rate, r.User*per, r.Sys*per)
					ours = append(ours, figure{cpu: (r.User + r.Sys) * per, wall: length.Seconds() * per})
					peer = append(peer, redisBenchmark(b, s, test, depth, int(r.Done)))
				}
				report(b, "redis-benchmark", ours, peer)
			})
		}
	}
}

// redisBenchmark sends n requests.
func redisBenchmark(b *testing.B, s *servers.Server, test string, depth, n int) figure {
	b.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("redis-benchmark", "-h", host, "-p", port, "-c", "50", "-P", strconv.Itoa(depth), "-n", strconv.Itoa(n),
		"-r", strconv.Itoa(loadKeys), "-t", test, "-d", "32", "-q")
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("redis-benchmark: %v\n%s", err, out)
	}
	wall, per := time.Since(start).Seconds(), 1e6/float64(n)
	user, sys := cmd.ProcessState.UserTime().Seconds()*per, cmd.ProcessState.SystemTime().Seconds()*per
	b.Logf("redis-benchmark %8.0f/s, CPU for a million %.3f s user, %.3f s system", float64(n)/wall, user, sys)
	return figure{cpu: user + sys, wall: wall * per}
}

// BenchmarkHeldRate: 20,000 requests a second for ten seconds. The figures are how near to
// that it comes, and how late the generator itself is.
func BenchmarkHeldRate(b *testing.B) {
	s := servers.Redis(b, servers.Default(b), servers.Options{})
	const rate = 20_000
	for _, poisson := range []bool{false, true} {
		b.Run(fmt.Sprintf("poisson=%v", poisson), func(b *testing.B) {
			for range b.N {
				r := load(b, loadJob{Addr: s.Addr, Depth: 1, Traffic: loadTraffic(loadgen.Mix{Read: 9, Write: 1},
					loadgen.Phase{Length: 10 * time.Second, Rate: rate, Poisson: poisson})})
				b.Logf("%.1f/s of %d; late p50 %v, p99 %v, at most %v; latency %v, %v, %v; CPU %.2f s user, %.2f s system; %v", r.Rate, rate,
					r.Late[0], r.Late[1], r.Late[2], r.Latency[0], r.Latency[1], r.Latency[2], r.User, r.Sys, r.Invalid)
				if share := r.Rate / rate; !poisson && (share < 0.995 || share > 1.005) {
					b.Errorf("%.1f requests a second of %d", r.Rate, rate)
				}
				b.ReportMetric(float64(r.Late[0].Microseconds()), "late-p50-us")
				b.ReportMetric(float64(r.Late[1].Microseconds()), "late-p99-us")
				b.ReportMetric(r.Rate/rate, "rate-ratio")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
