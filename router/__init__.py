"""Pure placement: prefix index, load view, cost model and the route plan. No I/O and no torch."""
