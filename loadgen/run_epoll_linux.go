package loadgen

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An epoll is the transport over bare file descriptors. Calls that cannot block go past Go's
// scheduler (RawSyscall); only waiting tells it. A connection is a duplicate of the dialled one's
// descriptor: the original is closed, so that Go's own poller does not wake for each answer.
type epoll struct {
	fd     int
	bell   int // an eventfd
	conns  []*conn
	spare  []int32 // unused places in conns
	events [128]unix.EpollEvent
	coarse bool // the kernel has no epoll_pwait2 (5.11)
}

// bellEvent is the place of the bell, where no connection is.
const bellEvent = -1

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	e := &epoll{fd: fd, bell: bell}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: bellEvent}); err != nil {
		e.close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return e, nil
}

// newTransport is the best there is. bare says that all connections have descriptors.
func newTransport(bare bool) (transport, error) {
	if bare {
		return newEpoll()
	}
	return newPipes(), nil
}

// nap sleeps, to the precision of the kernel's timers.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&ts, nil) // a signal makes it shorter, which does no harm
}

// begin keeps the loop on one thread, and makes the timers of that exact: those of others may come
// 50 microseconds late (PR_SET_TIMERSLACK).
func (e *epoll) begin() {
	runtime.LockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// end gives the thread back as it was. It must not die with the loop: processes that it started
// may be set to die with it.
func (e *epoll) end() {
	unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0)
	runtime.UnlockOSThread()
}

func (e *epoll) take(c *conn, nc net.Conn) error {
	defer nc.Close()
	bare, can := nc.(syscall.Conn)
	if !can {
		return fmt.Errorf("a connection without a descriptor: %T", nc)
	}
	raw, err := bare.SyscallConn()
	if err != nil {
		return err
	}
	fd, failed := -1, error(nil)
	if err := raw.Control(func(dialled uintptr) {
		fd, failed = unix.FcntlInt(dialled, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return err
	}
	if failed != nil {
		return os.NewSyscallError("fcntl", failed)
	}
	if len(e.spare) == 0 {
		e.spare = append(e.spare, int32(len(e.conns)))
		e.conns = append(e.conns, nil)
	}
	place := e.spare[len(e.spare)-1]
	if err := unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: place}); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("epoll_ctl", err)
	}
	e.spare = e.spare[:len(e.spare)-1]
	e.conns[place] = c
	c.link = link{fd: fd, place: place}
	return nil
}

func (e *epoll) drop(c *conn) {
	unix.Close(c.fd)
	e.conns[c.place] = nil
	e.spare = append(e.spare, c.place)
	c.link = link{fd: -1, place: -1}
}

func (e *epoll) write(c *conn) error {
	for !c.blocked && c.at < len(c.out) {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(&c.out[c.at])), uintptr(len(c.out)-c.at))
		switch errno {
		case 0:
			c.at += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return e.block(c, true)
		default:
			return os.NewSyscallError("write", errno)
		}
	}
	if c.at == len(c.out) {
		c.out, c.at = c.out[:0], 0
	}
	return nil
}

// block has the kernel tell when c takes more, or not.
func (e *epoll) block(c *conn, yes bool) error {
	c.blocked = yes
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.place}
	if yes {
		ev.Events |= unix.EPOLLOUT
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(e.fd, unix.EPOLL_CTL_MOD, c.fd, &ev))
}

// read reads once. It tells whether something came.
func (e *epoll) read(c *conn) (bool, error) {
	space := c.space()
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&space[0])), uintptr(len(space)))
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return false, nil
		case errno != 0:
			return false, os.NewSyscallError("read", errno)
		case n == 0:
			return false, io.EOF
		}
		c.to += int(n)
		c.wider()
		return true, nil
	}
}

func (e *epoll) wait(l *loop, d time.Duration) {
	n := e.poll(d)
	for i := range n {
		ev := &e.events[i]
		if ev.Fd == bellEvent {
			var count [8]byte
			unix.Read(e.bell, count[:])
			continue
		}
		c := e.conns[ev.Fd]
		if c == nil { // dropped by what came before it
			continue
		}
		if err := e.serve(l, c, ev.Events); err != nil {
			l.clock()
			l.broken(c, err)
		}
	}
}

func (e *epoll) serve(l *loop, c *conn, events uint32) error {
	if events&unix.EPOLLOUT != 0 {
		if err := e.block(c, false); err != nil {
			return err
		}
		if err := e.write(c); err != nil {
			return err
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	some, err := e.read(c)
	if some {
		l.received(c)
	}
	return err
}

// poll waits for events.
func (e *epoll) poll(d time.Duration) int {
	if d <= 0 {
		return e.pwait(0)
	}
	ts := [2]int64{int64(d / time.Second), int64(d % time.Second)} // __kernel_timespec
	if !e.coarse {
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), uintptr(len(e.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
		switch {
		case errno == unix.ENOSYS:
			e.coarse = true
		case errno != 0:
			return 0
		default:
			return int(n)
		}
	}
	fine := unix.NsecToTimespec(int64(d))
	fds := []unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}
	unix.Ppoll(fds, &fine, nil)
	runtime.KeepAlive(fds)
	return e.pwait(0)
}

func (e *epoll) pwait(timeout uintptr) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), uintptr(len(e.events)), timeout, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func (e *epoll) wake() {
	one := [8]byte{0: 1, 7: 1} // not 0 in either byte order
	unix.Write(e.bell, one[:])
}

func (e *epoll) close() {
	for _, c := range e.conns {
		if c != nil {
			unix.Close(c.fd)
		}
	}
	unix.Close(e.bell)
	unix.Close(e.fd)
}
