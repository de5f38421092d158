//! Tryton as it is: sessions, contexts, and what it refuses.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::peers::{Peer, System, Tryton};

/// Reads the records that match, in the context of the only company.
async fn search(tryton: &Tryton, model: &str, domain: Value, fields: Value) -> Vec<Value> {
    search_in(tryton, model, domain, fields, json!({ "company": 1 })).await
}

async fn search_in(tryton: &Tryton, model: &str, domain: Value, fields: Value, context: Value) -> Vec<Value> {
    let params = json!([domain, 0, null, [["id", "ASC"]], fields, context]);
    let found = tryton.call(&format!("model.{model}.search_read"), params).await.unwrap();
    found.as_array().unwrap().clone()
}

async fn id(tryton: &Tryton, model: &str, domain: Value) -> Value {
    let found = search(tryton, model, domain, json!(["id"])).await;
    assert_eq!(found.len(), 1, "{model}: {found:?}");
    found[0]["id"].clone()
}

/// An order for customer 10003, who has 32 euros left of its limit, of so many pieces for 10 euros each.
async fn order(tryton: &Tryton, web_id: &str, quantity: u32) -> Value {
    let customer = id(tryton, "party.party", json!([["code", "=", "10003"]])).await;
    let address = |kind: &'static str| json!([["party.code", "=", "10003"], [kind, "=", true]]);
    let (product, unit) = {
        let fields = json!(["default_uom"]);
        let found = search(tryton, "product.product", json!([["code", "=", "P1002"]]), fields).await;
        (found[0]["id"].clone(), found[0]["default_uom"].clone())
    };
    json!({
        "company": 1,
        "party": customer,
        "invoice_address": id(tryton, "party.address", address("invoice")).await,
        "shipment_address": id(tryton, "party.address", address("delivery")).await,
        "currency": id(tryton, "currency.currency", json!([["code", "=", "EUR"]])).await,
        "warehouse": id(tryton, "stock.location", json!([["code", "=", "MAIN"]])).await,
        "shipment_cost_method": null,
        "web_shop": id(tryton, "web.shop", json!([["name", "=", "b2b"]])).await,
        "web_id": web_id,
        "lines": [["create", [{
            "type": "line", "product": product, "quantity": quantity, "unit": unit,
            "unit_price": { "__class__": "Decimal", "decimal": "10.0000" },
        }]]],
    })
}

#[tokio::test]
async fn a_customer_is_read_with_its_price_list_and_its_credit() {
    let peer = Peer::shared(System::Tryton);
    let tryton = Tryton::login(&peer).await;
    let fields = json!(["name", "sale_price_list.name", "credit_limit_amount", "credit_amount", "addresses"]);
    let domain = json!([["code", "=", "10003"]]);
    let found = search(&tryton, "party.party", domain.clone(), fields.clone()).await;
    assert_eq!(found.len(), 1);
    let customer = &found[0];
    assert_eq!(customer["name"], "Installatiebedrijf Zuid 03");
    assert_eq!(customer["sale_price_list."]["name"], "Dealer");
    assert_eq!(customer["credit_limit_amount"]["decimal"], "1000.00");
    assert_eq!(customer["credit_amount"]["decimal"], "968.00");
    assert_eq!(customer["addresses"].as_array().unwrap().len(), 2);

    // Without the company nothing is refused: the limit is just not there.
    let found = search_in(&tryton, "party.party", domain, fields, json!({})).await;
    assert_eq!(found[0]["credit_limit_amount"], Value::Null);
}

#[tokio::test]
async fn customers_out_of_use_are_hidden_unless_they_are_asked_for() {
    let peer = Peer::shared(System::Tryton);
    let tryton = Tryton::login(&peer).await;
    let domain = json!([["code", ">=", "10001"], ["code", "<=", "10030"]]);
    assert_eq!(search(&tryton, "party.party", domain.clone(), json!(["code"])).await.len(), 29);
    let context = json!({ "company": 1, "active_test": false });
    assert_eq!(search_in(&tryton, "party.party", domain, json!(["code"]), context).await.len(), 30);
}

#[tokio::test]
async fn stock_is_that_of_the_warehouse_in_the_context() {
    let peer = Peer::shared(System::Tryton);
    let tryton = Tryton::login(&peer).await;
    for (code, quantity) in [("MAIN", 70.0), ("SOUTH", 20.0)] {
        let warehouse = id(&tryton, "stock.location", json!([["code", "=", code]])).await;
        let context = json!({ "company": 1, "locations": [warehouse], "with_childs": true });
        let domain = json!([["code", "=", "P1011"]]);
        let found = search_in(&tryton, "product.product", domain, json!(["quantity"]), context).await;
        assert_eq!(found[0]["quantity"].as_f64(), Some(quantity), "{code}");
    }
}

#[tokio::test]
async fn the_larger_quantity_has_the_lower_price() {
    let peer = Peer::shared(System::Tryton);
    let tryton = Tryton::login(&peer).await;
    let list = id(&tryton, "product.price_list", json!([["name", "=", "Dealer"]])).await;
    let product = id(&tryton, "product.product", json!([["code", "=", "P1001"]])).await;
    for (quantity, price) in [(1, "9.0000"), (10, "8.2500"), (100, "7.5000")] {
        let context = json!({ "company": 1, "price_list": list, "quantity": quantity });
        let params = json!([[product], ["sale_price_uom"], context]);
        let found = tryton.call("model.product.product.read", params).await.unwrap();
        assert_eq!(found[0]["sale_price_uom"]["decimal"], price, "{quantity}");
    }
}

#[tokio::test]
async fn an_order_is_made_once_and_not_beyond_the_limit() {
    let peer = Peer::own(System::Tryton);
    let tryton = Tryton::login(&peer).await;
    assert_eq!(search(&tryton, "sale.sale", json!([]), json!(["number"])).await, Vec::<Value>::new());

    let context = json!({ "company": 1 });
    let small = order(&tryton, "WEB-1", 1).await;
    let made = tryton.call("model.sale.sale.create", json!([[small], context])).await.unwrap();
    tryton.call("model.sale.sale.quote", json!([made, context])).await.unwrap();
    tryton.call("model.sale.sale.confirm", json!([made, context])).await.unwrap();
    let fields = json!(["number", "state", "web_id"]);
    let found = search(&tryton, "sale.sale", json!([["web_id", "=", "WEB-1"]]), fields).await;
    assert!(["confirmed", "processing"].contains(&found[0]["state"].as_str().unwrap()), "{found:?}");
    assert!(found[0]["number"].as_str().is_some_and(|number| !number.is_empty()), "{found:?}");

    let refused = tryton.call("model.sale.sale.create", json!([[small], context])).await.unwrap_err();
    assert_eq!(refused[0], "UserError");
    assert!(refused[1][0].as_str().unwrap().contains("unique per shop"), "{refused}");

    let large = order(&tryton, "WEB-2", 10).await;
    let made = tryton.call("model.sale.sale.create", json!([[large], context])).await.unwrap();
    tryton.call("model.sale.sale.quote", json!([made, context])).await.unwrap();
    let refused = tryton.call("model.sale.sale.confirm", json!([made, context])).await.unwrap_err();
    assert_eq!(refused[0], "UserError");
    assert!(refused[1][0].as_str().unwrap().contains("credit limit"), "{refused}");
}

#[tokio::test]
async fn a_session_that_ended_is_answered_with_401() {
    let peer = Peer::shared(System::Tryton);
    let tryton = Tryton::login(&peer).await;
    tryton.call("common.db.logout", json!([])).await.unwrap();
    let response = tryton.send("model.party.party.search_count", json!([[], { "company": 1 }])).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.text().await.unwrap(), "");
}
