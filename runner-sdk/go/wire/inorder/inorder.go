// Package inorder keeps account of what one connection has sent to a stream and the broker has not confirmed. The broker takes
// what one connection sends to a stream in order, and confirms in that order: what is still unconfirmed when something behind it
// has been confirmed is lost. Nodes and entrypoint both send by this rule; the package knows neither messages nor connections,
// and imports nothing of ours.
package inorder

import (
	"container/list"
	"time"
)

// Order is what is under way to one stream, in the order in which it was sent. Its zero value is empty. Whoever uses it guards
// it, and the places in it, by a lock.
type Order[T any] struct {
	under list.List // of *Place[T]
}

// Place is the place of something in an order; it is a part of whatever it is the place of. The zero value is in none.
type Place[T any] struct {
	What    T
	At      time.Time // when it was sent
	element *list.Element
}

// Under reports whether what has the place is under way.
func (p *Place[T]) Under() bool { return p.element != nil }

// Sent says that what has been sent now, behind everything else. It may have been sent before: only the last time counts.
func (o *Order[T]) Sent(p *Place[T], what T) {
	o.Forget(p)
	p.What, p.At = what, time.Now()
	p.element = o.under.PushBack(p)
}

// Forget says that nothing more is expected of a place, whether it is under way or not.
func (o *Order[T]) Forget(p *Place[T]) {
	if p.element != nil {
		o.under.Remove(p.element)
		p.element = nil
	}
}

// Confirmed says that the broker has confirmed what has that place, and returns what is lost by that: what was sent before. If
// it is not under way, nothing follows.
func (o *Order[T]) Confirmed(p *Place[T]) (lost []T) {
	if !p.Under() {
		return nil
	}
	lost = o.takeWhile(func(first *Place[T]) bool { return first != p })
	o.Forget(p)
	return lost
}

// All takes everything for lost and returns it.
func (o *Order[T]) All() (lost []T) {
	return o.takeWhile(func(*Place[T]) bool { return true })
}

// Before takes what was sent before a time for lost and returns it.
func (o *Order[T]) Before(at time.Time) (lost []T) {
	return o.takeWhile(func(first *Place[T]) bool { return first.At.Before(at) })
}

func (o *Order[T]) takeWhile(holds func(first *Place[T]) bool) (taken []T) {
	for first := o.Oldest(); first != nil && holds(first); first = o.Oldest() {
		o.Forget(first)
		taken = append(taken, first.What)
	}
	return taken
}

// Oldest is the place of what was sent first, or nil.
func (o *Order[T]) Oldest() *Place[T] {
	if front := o.under.Front(); front != nil {
		return front.Value.(*Place[T])
	}
	return nil
}

// Len is how much is under way.
func (o *Order[T]) Len() int { return o.under.Len() }
