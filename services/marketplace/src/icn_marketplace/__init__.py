"""What the cooperatives share and trade: resources, bookings, offers, agreements."""
