package store

import "time"

// complaints thins out the log of something that is tried again for ever: the fourth try and then one each ten seconds.
type complaints struct {
	tries int
	last  time.Time
}

func (c *complaints) due() bool {
	c.tries++
	if c.tries < 4 || time.Since(c.last) < 10*time.Second {
		return false
	}
	c.last = time.Now()
	return true
}
