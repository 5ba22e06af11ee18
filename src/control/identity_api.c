/*
 * identity_api.c - who am I? There is one account and one user behind all tokens; wrangler and the SDK ask for them before they
 * work with what is in the account.
 */
#include "control/api.h"
#include "api/api.h"

#define ACCOUNT "{\"id\":\"local\",\"name\":\"Dione (local)\",\"type\":\"standard\"}"
#define USER_ID "d10e0000000000000000000000000001"
#define MEMBERSHIP_ID "d10e0000000000000000000000000002"

void identity_verify(struct http_request *req)
{
    const struct token_grant *grant = req->auth;
    struct buf b = { 0 };

    /* Tokens that are not active never get here. */
    buf_printf(&b, "{\"id\":\"%s\",\"status\":\"active\"}", grant->id);
    envelope_ok(req, buf_slice(&b), SLICE_NONE);
    buf_release(&b);
}

void identity_user(struct http_request *req)
{
    envelope_ok(req, SLICE_LIT("{\"id\":\"" USER_ID "\",\"email\":\"you@dione.local\"}"), SLICE_NONE);
}

/* A list with one entry: there, on the first page, and over on the second. */
static void answer_list_of_one(struct http_request *req, struct slice list)
{
    struct buf info = { 0 };
    size_t page, per_page;

    if (!envelope_page(req, 20, 50, &page, &per_page))
        return;
    envelope_page_info(&info, page, per_page, page == 1, 1);
    envelope_ok(req, page == 1 ? list : SLICE_LIT("[]"), buf_slice(&info));
    buf_release(&info);
}

void identity_accounts(struct http_request *req)
{
    answer_list_of_one(req, SLICE_LIT("[" ACCOUNT "]"));
}

void identity_account(struct http_request *req)
{
    envelope_ok(req, SLICE_LIT(ACCOUNT), SLICE_NONE);
}

void identity_memberships(struct http_request *req)
{
    answer_list_of_one(req, SLICE_LIT("[{\"id\":\"" MEMBERSHIP_ID "\",\"status\":\"accepted\",\"account\":" ACCOUNT
                                      ",\"roles\":[\"Super Administrator - All Privileges\"]}]"));
}
