"""The auth service: accounts, sessions and signed tokens in the shape of Supabase Auth."""
